//! Where may credentials be asked for? Pure policy: an [`Endpoint`] can come out of nowhere else.
//!
//! AWS's SDKs are led to another host by a relative URI such as `@host/x`, because they join strings and
//! parse after. Here the URI is parsed first and the host compared after, and names that could resolve to
//! anything are refused: checking a name and then connecting by it is a race.
//!
//! The addresses: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>

use super::token::Token;
use crate::secret::Secret;
use crate::trouble::Trouble;
use reqwest::Url;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The ECS agent's address, as every task sees it.
const ECS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// EKS Pod Identity.
const EKS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 23);
/// EKS Pod Identity over IPv6.
const EKS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23);

/// A path shorter than this (`/creds`, EKS's `/v1/credentials`) is no secret, and masking it would wreck the log.
const SHORTEST_SECRET_PATH: usize = 16;

/// Who named the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The input `credentials-uri`.
    Input,
    /// The action's own environment.
    Environment,
    /// The runner's container, found through the Docker Engine.
    Docker,
}

impl Source {
    /// The value of the output `source`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Environment => "environment",
            Self::Docker => "docker",
        }
    }
}

/// A URI as it was given, before the policy.
#[derive(Clone)]
pub enum Uri {
    /// A path at 169.254.170.2.
    Relative(Zeroizing<String>),
    /// An absolute URL.
    Full(Zeroizing<String>),
}

/// A token as it was given.
#[derive(Clone)]
pub enum GivenToken {
    /// The token itself.
    Value(Zeroizing<String>),
    /// The path of a file that holds it.
    File(PathBuf),
}

/// One source, taken whole.
#[derive(Clone)]
pub struct Given {
    /// Who gave it.
    pub source: Source,
    /// The input or variable that held the URI.
    pub place: &'static str,
    /// The URI.
    pub uri: Uri,
    /// The token that goes with it, and the input or variable that held it.
    pub token: Option<(&'static str, GivenToken)>,
}

impl Given {
    /// Path and query as they were written, where they are a secret worth a mask; known before the policy speaks.
    pub fn secret_path(&self) -> Option<Secret> {
        let path = path_in(&self.uri);
        (self.token.is_none() && path.len() >= SHORTEST_SECRET_PATH).then(|| Secret::new(path))
    }
}

/// How the URI is written, which decides how it can be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As a path at 169.254.170.2.
    Relative,
    /// As an absolute URL.
    Full,
}

/// An endpoint that the policy lets through.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Who named it.
    pub source: Source,
    /// How it was written.
    pub form: Form,
    /// The token to send, where there is one.
    pub token: Option<Token>,
    host: IpAddr,
    url: Secret,
    path: Secret,
    path_as_given: Secret,
}

impl Endpoint {
    /// The endpoint of a source, if policy allows it.
    pub fn admit(given: Given) -> anyhow::Result<Self> {
        let (form, url) = match &given.uri {
            Uri::Relative(path) => (Form::Relative, relative(path)),
            Uri::Full(url) => (Form::Full, full(url)),
        };
        let (url, host) = url.map_err(|why| {
            Trouble::EndpointNotAllowed.because(format!("tried to use {}, but {why}", given.place))
        })?;
        let token = match given.token {
            None => None,
            Some((named_by, GivenToken::File(path))) => Some(Token::File { path, named_by }),
            Some((place, GivenToken::Value(text))) => {
                Some(Token::value(Secret::new(text.as_str()), place)?)
            }
        };
        let path = match url.query() {
            None => Secret::new(url.path()),
            Some(query) => Secret::new(format!("{}?{query}", url.path())),
        };
        Ok(Self {
            source: given.source,
            form,
            token,
            host,
            path,
            path_as_given: Secret::new(path_in(&given.uri)),
            url: Secret::new(String::from(url)),
        })
    }

    /// The whole URL.
    pub fn url(&self) -> &Secret {
        &self.url
    }

    /// Path and query: whoever knows them gets the credentials, where no token is asked for.
    pub fn path(&self) -> &Secret {
        &self.path
    }

    /// Path and query as they were written.
    pub fn path_as_given(&self) -> &Secret {
        &self.path_as_given
    }

    /// Path and query where they are a secret worth a mask and the parser made something else of what was given.
    pub fn secret_path(&self) -> Option<&Secret> {
        Some(&self.path).filter(|path| {
            **path != self.path_as_given
                && self.token.is_none()
                && path.len() >= SHORTEST_SECRET_PATH
        })
    }

    /// The host, a literal address.
    pub fn host(&self) -> IpAddr {
        self.host
    }
}

fn relative(path: &str) -> Result<(Url, IpAddr), String> {
    tidy(path)?;
    if !path.starts_with('/') {
        return Err(
            "it does not start with `/`: a relative URI is a path at http://169.254.170.2".into(),
        );
    }
    if path.starts_with("//") {
        return Err("it starts with `//`, which would name another host".into());
    }
    if path == "/" {
        return Err("it is `/` alone: the path of the credentials is missing".into());
    }
    let base = Url::parse("http://169.254.170.2/").map_err(|error| error.to_string())?;
    let url = base
        .join(path)
        .map_err(|error| format!("it is no URI ({error})"))?;
    let host = host_of(&url)?;
    if host != IpAddr::V4(ECS) || url.port().is_some() {
        return Err("it leads away from 169.254.170.2".into());
    }
    if url.path() == "/" {
        return Err("its path comes to `/`: the path of the credentials is missing".into());
    }
    // Handed on, it would be a relative URI again, and somebody else's parser would read it.
    if url.path().starts_with("//") {
        return Err(
            "its path comes to one that starts with `//`, which would name another host".into(),
        );
    }
    Ok((url, host))
}

fn full(text: &str) -> Result<(Url, IpAddr), String> {
    tidy(text)?;
    // Parsers find a host in `http:evil/://` too, and another one than a reader does.
    let is_scheme = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    let Some((scheme, rest)) = text
        .split_once("://")
        .filter(|(scheme, _)| is_scheme(scheme))
    else {
        return Err("it is neither a path that starts with `/` nor an absolute URL".into());
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => {}
        "https" => {
            return Err(
                "its scheme is `https`, which this version does not speak: none of ECS, EKS, CodeBuild and \
                 Greengrass serves credentials over it; write the `http` URL that the variable holds"
                    .into(),
            );
        }
        _ => return Err("its scheme is not `http`".into()),
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err("it has no host".into());
    }
    // The parser would forget an empty one.
    if authority.contains('@') {
        return Err("it holds a user or a password before `@`".into());
    }
    if !may_be_address(authority) {
        return Err(A_NAME.into());
    }
    let mut url = Url::parse(text).map_err(|error| format!("it is no URL ({error})"))?;
    if url.host_str() == Some("localhost") {
        // Connected as the literal: what `localhost` resolves to is somebody's file.
        url.set_ip_host(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .map_err(|()| "its host can not be read")?;
    }
    let host = host_of(&url)?;
    let allowed = host.is_loopback()
        || [IpAddr::V4(ECS), IpAddr::V4(EKS), IpAddr::V6(EKS_V6)].contains(&host);
    if !allowed {
        return Err(
            "its host is none of those that serve credentials: a loopback address, `localhost`, \
             169.254.170.2, 169.254.170.23, [fd00:ec2::23]"
                .into(),
        );
    }
    Ok((url, host))
}

/// What follows the host, as it was written.
fn path_in(uri: &Uri) -> &str {
    match uri {
        Uri::Relative(path) => path,
        Uri::Full(url) => {
            let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
            let host = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
            after_scheme.split_at(host).1
        }
    }
}

/// What a URI may be made of (RFC 3986), before any parser makes something else of it.
fn tidy(text: &str) -> Result<(), String> {
    if text.bytes().any(|b| b == b'\\') {
        return Err("it holds a backslash, which parsers take for `/`".into());
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("it holds a blank, a control character or one outside ASCII".into());
    }
    if text.bytes().any(|b| b == b'#') {
        return Err("it holds a `#`, and a fragment is never sent".into());
    }
    Ok(())
}

/// The host, after the parser, and only if it is an address.
fn host_of(url: &Url) -> Result<IpAddr, String> {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .map_err(|_| A_NAME.into())
}

/// Whether host and port have the characters of an address, in any spelling, or are `localhost`. What has others is not
/// for the parser, which would decode it and read it as an international name.
fn may_be_address(authority: &str) -> bool {
    let host = authority.split(':').next().unwrap_or_default();
    host.eq_ignore_ascii_case("localhost")
        || authority
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || b"xX.:[]".contains(&b))
}

const A_NAME: &str = "its host is a name, and a name can lead anywhere: write the literal address";

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(uri: Uri, token: Option<GivenToken>) -> anyhow::Result<Endpoint> {
        Endpoint::admit(Given {
            source: Source::Environment,
            place: "THE_VARIABLE",
            uri,
            token: token.map(|token| ("THE_TOKEN", token)),
        })
    }

    fn text(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.into())
    }

    /// What was given, and the URL that is asked, or a part of the reason why not.
    const RELATIVE: &[(&str, Result<&str, &str>)] = &[
        (
            "/v2/credentials/7e5",
            Ok("http://169.254.170.2/v2/credentials/7e5"),
        ),
        (
            "/v1/credentials?id=7e5",
            Ok("http://169.254.170.2/v1/credentials?id=7e5"),
        ),
        ("/creds", Ok("http://169.254.170.2/creds")),
        // Another host in the path or the query leads nowhere else.
        ("/x@evil/", Ok("http://169.254.170.2/x@evil/")),
        ("/http://evil/", Ok("http://169.254.170.2/http://evil/")),
        ("/?//evil", Err("comes to `/`")),
        ("/x?u=@evil", Ok("http://169.254.170.2/x?u=@evil")),
        // Dots are resolved before the request, and so is what is handed on.
        ("/a/../b", Ok("http://169.254.170.2/b")),
        ("/a/..", Err("comes to `/`")),
        ("/.//evil/x", Err("comes to")),
        ("", Err("start with `/`")),
        ("/", Err("is `/` alone")),
        ("v2/credentials", Err("start with `/`")),
        ("@evil/", Err("start with `/`")),
        (":80@evil/", Err("start with `/`")),
        (".evil.example/", Err("start with `/`")),
        ("http://evil/", Err("start with `/`")),
        ("//evil", Err("another host")),
        ("//evil/x", Err("another host")),
        ("///evil/x", Err("another host")),
        ("/\\evil/x", Err("backslash")),
        ("\\\\evil/x", Err("backslash")),
        ("/\t/evil/x", Err("control character")),
        ("/\n/evil/x", Err("control character")),
        (" /x", Err("blank")),
        ("/x ", Err("blank")),
        ("/\u{ff0f}evil", Err("outside ASCII")),
        ("/x#y", Err("fragment")),
    ];

    const FULL: &[(&str, Result<&str, &str>)] = &[
        ("http://127.0.0.1/x", Ok("http://127.0.0.1/x")),
        ("http://127.9.9.9:8080/x", Ok("http://127.9.9.9:8080/x")),
        ("http://[::1]:80/x", Ok("http://[::1]/x")),
        // Never resolved.
        ("http://localhost:51679/x", Ok("http://127.0.0.1:51679/x")),
        ("HTTP://LOCALHOST/x", Ok("http://127.0.0.1/x")),
        ("http://169.254.170.2/v2/x", Ok("http://169.254.170.2/v2/x")),
        (
            "http://169.254.170.23/v1/credentials",
            Ok("http://169.254.170.23/v1/credentials"),
        ),
        (
            "http://[fd00:ec2::23]/v1/credentials",
            Ok("http://[fd00:ec2::23]/v1/credentials"),
        ),
        // Another spelling of the same address: compared, asked and handed on as the address.
        ("http://2130706433/x", Ok("http://127.0.0.1/x")),
        ("http://[FD00:0EC2:0::23]/x", Ok("http://[fd00:ec2::23]/x")),
        ("https://169.254.170.23/v1/credentials", Err("`https`")),
        ("ftp://127.0.0.1/x", Err("scheme")),
        ("file:///etc/passwd", Err("scheme")),
        ("http://evil/", Err("is a name")),
        ("http://localhost.evil/", Err("is a name")),
        ("http://localhost./", Err("is a name")),
        ("http://127.0.0.1.evil/", Err("is a name")),
        ("http://169.254.170.2@evil/", Err("before `@`")),
        ("http://u:p@127.0.0.1/", Err("before `@`")),
        // The instance's own role: what this program is there to keep away.
        (
            "http://169.254.169.254/latest/meta-data",
            Err("none of those"),
        ),
        ("http://[fd00:ec2::254]/x", Err("none of those")),
        ("http://169.254.170.3/x", Err("none of those")),
        ("http://10.0.0.1/x", Err("none of those")),
        ("http://0.0.0.0/x", Err("none of those")),
        ("http://[::]/x", Err("none of those")),
        ("http://[::ffff:127.0.0.1]/x", Err("none of those")),
        ("http://@127.0.0.1/x", Err("before `@`")),
        ("http://:@127.0.0.1/x", Err("before `@`")),
        ("http:///x", Err("no host")),
        ("http:////127.0.0.1/x", Err("no host")),
        ("http://", Err("no host")),
        ("http:/127.0.0.1/x", Err("absolute URL")),
        ("http:@127.0.0.1/x://", Err("absolute URL")),
        ("http:hE%A2://127.0.0.1/x", Err("absolute URL")),
        ("127.0.0.1/x", Err("absolute URL")),
        ("http://127.0.0.1\\@evil/", Err("backslash")),
        ("http://127.0.0.1/x#y", Err("fragment")),
        ("http://127.0.0.1/ x", Err("blank")),
        ("http://127.0.0.1:99999/", Err("no URL")),
        ("http://１２７.0.0.1/", Err("outside ASCII")),
        ("http://%31%32%37.0.0.1/x", Err("is a name")),
        // Found by the fuzzer: debug assertions of libraries failed on them.
        ("http://I%E2d18.x/", Err("is a name")),
        ("http://XN--fzfy/", Err("is a name")),
        ("http://[fe80::1%25lo]/x", Err("is a name")),
        // Of letters that an address can have.
        ("http://fade.cafe/", Err("is a name")),
    ];

    fn check(table: &[(&str, Result<&str, &str>)], uri: fn(Zeroizing<String>) -> Uri) {
        for (given, expected) in table {
            let outcome = admit(uri(text(given)), None);
            match (&outcome, expected) {
                (Ok(endpoint), Ok(url)) => assert_eq!(endpoint.url().expose(), *url, "{given}"),
                (Err(error), Err(why)) => {
                    let said = error.to_string();
                    assert!(said.contains(why), "{given}: {said}");
                    assert!(said.contains("THE_VARIABLE"), "{given}: {said}");
                }
                _ => panic!("{given}: {outcome:?}"),
            }
        }
    }

    #[test]
    fn a_relative_uri_stays_at_the_agents_address() {
        check(RELATIVE, Uri::Relative);
    }

    #[test]
    fn a_full_uri_stays_with_those_that_serve_credentials() {
        check(FULL, Uri::Full);
    }

    #[test]
    fn no_error_holds_the_uri() {
        for (given, expected) in RELATIVE.iter().chain(FULL) {
            let uri = text(&format!("{given}/MARKER"));
            if expected.is_err() {
                for uri in [Uri::Relative(uri.clone()), Uri::Full(uri)] {
                    if let Err(error) = admit(uri, None) {
                        assert!(!format!("{error:?}").contains("MARKER"), "{given}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_path_is_a_secret_where_it_is_the_only_one() {
        let secrets = |uri: &str, token: Option<GivenToken>| {
            let given = Given {
                source: Source::Input,
                place: "x",
                uri: if uri.starts_with('/') {
                    Uri::Relative(text(uri))
                } else {
                    Uri::Full(text(uri))
                },
                token: token.map(|token| ("y", token)),
            };
            let as_given = given.secret_path();
            let endpoint = Endpoint::admit(given).unwrap();
            let found = as_given.iter().chain(endpoint.secret_path());
            found
                .map(|path| path.expose().to_owned())
                .collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        assert_eq!(secrets("/v1/credentials", None), none);
        assert_eq!(
            secrets("/v1/credentials?id=7", None),
            ["/v1/credentials?id=7"]
        );
        assert_eq!(
            secrets("/v2/./credentials/\"7\"", None),
            ["/v2/./credentials/\"7\"", "/v2/credentials/%227%22"]
        );
        assert_eq!(
            secrets("http://localhost?0123456789abcdef", None),
            ["?0123456789abcdef", "/?0123456789abcdef"]
        );
        let token = || Some(GivenToken::Value(text("T")));
        assert_eq!(secrets("/v1/credentials?id=7", token()), none);
    }

    #[test]
    fn debug_shows_neither_path_nor_token() {
        let endpoint = admit(
            Uri::Relative(text("/MARKER")),
            Some(GivenToken::Value(text("MARKER"))),
        );
        assert!(!format!("{:?}", endpoint.unwrap()).contains("MARKER"));
    }
}
