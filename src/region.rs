//! What does a region look like, and which of several is it?

/// The variables that SDKs read a region from, in the order in which they are believed here.
pub const VARIABLES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// The name of an AWS region, for instance `eu-west-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// A name of the shape `[a-z]{2,}(-[a-z0-9]+)+-[0-9]+`: SDKs build host names from it.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let [first, middle @ .., last] = parts.as_slice() else {
            return None;
        };
        let all = |part: &str, fit: fn(u8) -> bool| !part.is_empty() && part.bytes().all(fit);
        let fits = first.len() >= 2
            && all(first, |b| b.is_ascii_lowercase())
            && !middle.is_empty()
            && middle
                .iter()
                .all(|part| all(part, |b| b.is_ascii_lowercase() || b.is_ascii_digit()))
            && all(last, |b| b.is_ascii_digit());
        fits.then(|| Self(text.to_owned()))
    }

    /// The region in a task's ARN, `arn:<partition>:ecs:<region>:<account>:task/…`.
    ///
    /// Source: <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html>
    pub fn of_task_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let (prefix, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let region = parts.next()?;
        let (_account, resource) = (parts.next()?, parts.next()?);
        let is_task = prefix == "arn"
            && partition.starts_with("aws")
            && service == "ecs"
            && resource.starts_with("task/");
        if is_task { Self::parse(region) } else { None }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A place where a region may stand, and what stands there. The text is shown nowhere until it has
/// proved to be a region.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The place, as a log line names it.
    pub place: String,
    /// The region, or None where what stands there is none.
    pub region: Option<Region>,
}

/// The first region that is one, with its place, and all places that hold something else.
pub fn choose(candidates: &[Candidate]) -> (Option<(&Region, &str)>, Vec<&str>) {
    let found = candidates.iter().find_map(|candidate| {
        let region = candidate.region.as_ref()?;
        Some((region, candidate.place.as_str()))
    });
    let bad = candidates
        .iter()
        .filter(|candidate| candidate.region.is_none())
        .map(|candidate| candidate.place.as_str())
        .collect();
    (found, bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_looks_like_one() {
        for good in [
            "eu-west-1",
            "us-gov-east-1",
            "ap-southeast-7",
            "us-iso-east-1",
            "eusc-de-east-1",
            "cn-north-1",
            "mx-central-1",
            "aa-1a-22",
        ] {
            assert!(Region::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "-",
            "eu",
            "eu-west",
            "eu-1",
            "e-west-1",
            "eu-west-",
            "eu--1",
            "eu-west-1a",
            "EU-west-1",
            "eu-West-1",
            "eu-west-1 ",
            " eu-west-1",
            "eu-west-1\n",
            "eu_west_1",
            "eu-west-1.evil.example",
            "eu-west-1/x",
            "e1-west-1",
            "eu-wést-1",
            "eu-west-१",
        ] {
            assert!(Region::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_task_arn_has_a_region() {
        let of = |arn: &str| Region::of_task_arn(arn).map(|region| region.0);
        let task = "123456789012:task/cluster/0123456789abcdef0123456789abcdef";
        assert_eq!(
            of(&format!("arn:aws:ecs:eu-west-1:{task}")).as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(
            of(&format!("arn:aws-us-gov:ecs:us-gov-west-1:{task}")).as_deref(),
            Some("us-gov-west-1")
        );
        assert_eq!(of(&format!("arn:aws:ecs:evil.example:{task}")), None);
        assert_eq!(of(&format!("arn:aws:ec2:eu-west-1:{task}")), None);
        assert_eq!(of(&format!("arn:gcp:ecs:eu-west-1:{task}")), None);
        assert_eq!(of(&format!("urn:aws:ecs:eu-west-1:{task}")), None);
        assert_eq!(of("arn:aws:ecs:eu-west-1:123456789012:service/x"), None);
        assert_eq!(of("arn:aws:ecs:eu-west-1"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn the_first_good_one_wins_and_the_bad_are_named() {
        let at = |place: &str, text: &str| Candidate {
            place: place.into(),
            region: Region::parse(text),
        };
        let list = [at("A", "bad"), at("B", "eu-west-1"), at("C", "worse")];
        let (found, bad) = choose(&list);
        assert_eq!(
            found.map(|(r, p)| (r.as_str(), p)),
            Some(("eu-west-1", "B"))
        );
        assert_eq!(bad, ["A", "C"]);
        assert_eq!(choose(&[]), (None, vec![]));
    }
}
