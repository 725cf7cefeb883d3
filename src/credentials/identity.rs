//! Who do credentials belong to? Accounts and roles, parsed once.

use std::fmt;

/// An AWS account id: 12 digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountId(String);

impl AccountId {
    /// 12 ASCII digits, leading zeros included.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ARN of an IAM role, `arn:<partition>:iam::<account>:role/<path><name>`.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleArn {
    text: String,
    account: AccountId,
}

impl RoleArn {
    /// A role's ARN in any partition; None for everything else, an assumed role's ARN included.
    pub fn parse(text: &str) -> Option<Self> {
        let arn = Arn::split(text)?;
        let path = arn.resource.strip_prefix("role/")?;
        let fits = arn.service == "iam"
            && arn.region.is_empty()
            && path.bytes().all(|b| b.is_ascii_graphic())
            && is_role_name(path.rsplit('/').next()?);
        let account = AccountId::parse(arn.account)?;
        fits.then(|| Self {
            text: text.to_owned(),
            account,
        })
    }

    /// The account that the role is in.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The role's name: what follows the last `/`.
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The role that the workflow's author has in mind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedRole {
    /// The whole ARN.
    Arn(RoleArn),
    /// The name alone, in whatever account and path.
    Name(String),
}

impl ExpectedRole {
    /// A role ARN or a bare role name; the error says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(role) = RoleArn::parse(text) {
            return Ok(Self::Arn(role));
        }
        if let Some(role) = role_of_session(text) {
            return Err(format!(
                "it is the ARN of a role's session; write the role's own: {role} (with the role's path, if it has one)"
            ));
        }
        if text.starts_with("arn:") {
            return Err(
                "it is not the ARN of a role, which looks like arn:aws:iam::123456789012:role/name"
                    .into(),
            );
        }
        if is_role_name(text) {
            return Ok(Self::Name(text.to_owned()));
        }
        Err("it is neither a role ARN nor a bare role name (letters, digits and +=,.@_- only, at most 64)".into())
    }

    /// Whether `role` is the one; with regard to case.
    pub fn is(&self, role: &RoleArn) -> bool {
        match self {
            Self::Arn(expected) => expected == role,
            Self::Name(name) => name == role.name(),
        }
    }
}

impl fmt::Display for ExpectedRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arn(role) => role.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// `arn:aws:sts::…:assumed-role/name/session` is what `aws sts get-caller-identity` prints, so people copy it.
fn role_of_session(text: &str) -> Option<String> {
    let arn = Arn::split(text)?;
    let name = arn
        .resource
        .strip_prefix("assumed-role/")?
        .split('/')
        .next()?;
    (arn.service == "sts" && AccountId::parse(arn.account).is_some() && is_role_name(name))
        .then(|| format!("arn:{}:iam::{}:role/{name}", arn.partition, arn.account))
}

struct Arn<'a> {
    partition: &'a str,
    service: &'a str,
    region: &'a str,
    account: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
        let arn = Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        };
        let known = arn.partition == "aws" || arn.partition.starts_with("aws-");
        let tidy = arn
            .partition
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        (known && tidy).then_some(arn)
    }
}

/// `[\w+=,.@-]{1,64}`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html>
fn is_role_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_twelve_digits() {
        assert!(AccountId::parse("012345678901").is_some());
        for bad in [
            "",
            "12345678901",
            "1234567890123",
            "12345678901a",
            "١23456789012",
            " 23456789012",
        ] {
            assert!(AccountId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_role_arn_names_account_and_role_in_every_partition() {
        for partition in ["aws", "aws-cn", "aws-us-gov", "aws-iso-b", "aws-eusc"] {
            let role = RoleArn::parse(&format!(
                "arn:{partition}:iam::123456789012:role/team/ci/deploy"
            ))
            .unwrap();
            assert_eq!(role.account().as_str(), "123456789012");
            assert_eq!(role.name(), "deploy");
            assert_eq!(
                role.as_str(),
                format!("arn:{partition}:iam::123456789012:role/team/ci/deploy")
            );
        }
    }

    #[test]
    fn what_is_no_roles_arn_is_unknown() {
        for bad in [
            "",
            "role/x",
            "arn:aws:iam::123456789012:user/x",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/x/",
            "arn:aws:iam::12345678901:role/x",
            "arn:aws:iam:eu-west-1:123456789012:role/x",
            "arn:aws:sts::123456789012:assumed-role/x/s",
            "arn:gcp:iam::123456789012:role/x",
            "arn:awsx:iam::123456789012:role/x",
            "arn:aws-X:iam::123456789012:role/x",
            "arn:aws:iam::123456789012:role/a b/x",
            "arn:aws:iam::123456789012:role/x y",
        ] {
            assert!(RoleArn::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_expected_role_is_an_arn_or_a_name() {
        let role = RoleArn::parse("arn:aws:iam::123456789012:role/team/deploy").unwrap();
        let is = |text| ExpectedRole::parse(text).unwrap().is(&role);
        assert!(is("deploy"));
        assert!(is("arn:aws:iam::123456789012:role/team/deploy"));
        assert!(!is("Deploy"));
        assert!(!is("arn:aws:iam::123456789012:role/deploy"));
        assert!(!is("arn:aws-cn:iam::123456789012:role/team/deploy"));
        assert!(!is("ploy"));
    }

    #[test]
    fn a_session_arn_is_answered_with_the_roles() {
        let error = ExpectedRole::parse("arn:aws:sts::123456789012:assumed-role/deploy/i-0abc")
            .unwrap_err();
        assert!(
            error.contains("arn:aws:iam::123456789012:role/deploy"),
            "{error}"
        );
    }

    #[test]
    fn only_a_session_is_told_that_it_is_one() {
        for other in [
            "arn:aws:iam::123456789012:assumed-role/deploy/i-0abc",
            "arn:aws:sts::12345:assumed-role/deploy/i-0abc",
            "arn:aws:sts::123456789012:assumed-role/de ploy/i-0abc",
            "arn:aws:sts::123456789012:federated-user/deploy",
        ] {
            let error = ExpectedRole::parse(other).unwrap_err();
            assert!(error.contains("not the ARN of a role"), "{error}");
        }
    }

    #[test]
    fn what_could_match_more_than_it_says_is_an_error() {
        for bad in [
            "team/deploy",
            "deploy*",
            "*",
            "a b",
            "",
            "arn:aws:iam::123456789012:user/x",
            &"x".repeat(65),
        ] {
            assert!(ExpectedRole::parse(bad).is_err(), "{bad}");
        }
    }
}
