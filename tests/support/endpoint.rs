//! A real HTTP/1.1 server on a socket, whose answers a test scripts byte by byte.
//!
//! Each connection carries one request and gets a thread of its own. The function that answers writes to
//! the socket itself, so an answer can come late, in pieces, broken off or not at all.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// How many came before it.
    pub number: usize,
    pub peer: SocketAddr,
    pub method: String,
    /// The request's target: path and query, or a whole URL where a client takes the server for a proxy.
    pub target: String,
    /// Names as they were sent; [`Request::header`] looks without regard to case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The values of a header, in the order they came.
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The value of a header that came once at most.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.headers_named(name);
        assert!(
            values.len() <= 1,
            "header {name} came {} times",
            values.len()
        );
        values.first().copied()
    }
}

/// The server; it stops listening when it is dropped.
pub struct Endpoint {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    listener: Option<TcpListener>,
    acceptor: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Serves on a free port of 127.0.0.1.
    pub fn start(
        respond: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), respond)
    }

    /// Serves on a listener that is there already, in another network namespace for instance.
    pub fn on(
        listener: TcpListener,
        respond: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let respond = Arc::new(respond);
        let accepting = listener.try_clone().unwrap();
        let acceptor = thread::spawn({
            let requests = Arc::clone(&requests);
            move || {
                while let Ok((stream, peer)) = accepting.accept() {
                    let (requests, respond) = (Arc::clone(&requests), Arc::clone(&respond));
                    thread::spawn(move || {
                        // A client that hangs up is its own affair: the test sees what came of it.
                        let _ = serve(stream, peer, &requests, &*respond);
                    });
                }
            }
        });
        Self {
            addr: listener.local_addr().unwrap(),
            requests,
            listener: Some(listener),
            acceptor: Some(acceptor),
        }
    }

    /// Answers every request with the same document.
    pub fn serving(document: &Document) -> Self {
        let body = document.json();
        Self::start(move |_, stream| answer::ok(stream, &body))
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of a path on this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// What came so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // On Linux a listening socket that is shut down wakes its `accept`; a connection to oneself would
        // not do where the listener lives in another network namespace.
        if let Some(listener) = self.listener.take() {
            let _ = TcpStream::from(OwnedFd::from(listener)).shutdown(Shutdown::Both);
        }
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    requests: &Mutex<Vec<Request>>,
    respond: &dyn Fn(&Request, &mut TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(head) = read_head(&mut stream)? else {
        return Ok(());
    };
    let request = {
        let mut requests = requests.lock().unwrap();
        let request = parse_head(&head, requests.len(), peer);
        requests.push(request.clone());
        request
    };
    let answered = respond(&request, &mut stream);
    if answered.is_ok() {
        // The end of the answer is told first, and the socket kept until the client has read it: closing
        // at once could turn the last bytes into a reset.
        let _ = stream.shutdown(Shutdown::Write);
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut rest = [0; 1024];
        while matches!(stream.read(&mut rest), Ok(n) if n > 0) {}
    }
    answered
}

/// The bytes up to the empty line; nothing where the client left before it.
fn read_head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        if count == 0 || head.len() > 256 * 1024 {
            return Ok(None);
        }
        head.extend_from_slice(&buffer[..count]);
    }
    // Latin-1, so that no byte is lost whatever a header holds.
    Ok(Some(head.into_iter().map(char::from).collect()))
}

fn parse_head(head: &str, number: usize, peer: SocketAddr) -> Request {
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    Request {
        number,
        peer,
        method: first.next().unwrap_or_default().to_owned(),
        target: first.next().unwrap_or_default().to_owned(),
        headers: lines
            .take_while(|line| !line.is_empty())
            .map(|line| line.split_once(':').unwrap_or((line, "")))
            .map(|(name, value)| {
                (
                    name.to_owned(),
                    value.strip_prefix(' ').unwrap_or(value).to_owned(),
                )
            })
            .collect(),
    }
}

/// Ways to answer. Each closes the connection after it, in its own manner.
pub mod answer {
    use std::io::{Read as _, Write as _};

    use super::{Duration, TcpStream, io, thread};

    /// 200 with a JSON body.
    pub fn ok(stream: &mut TcpStream, body: &str) -> io::Result<()> {
        with(stream, "200 OK", "application/json", body)
    }

    /// A status line's code and reason, a content type, and a body.
    pub fn with(stream: &mut TcpStream, status: &str, kind: &str, body: &str) -> io::Result<()> {
        stream.write_all(head(status, kind, body.len()).as_bytes())?;
        stream.write_all(body.as_bytes())
    }

    /// An error as the ECS agent writes it.
    pub fn agent_error(
        stream: &mut TcpStream,
        status: u16,
        code: &str,
        message: &str,
    ) -> io::Result<()> {
        let body = serde_json::json!({"code": code, "message": message, "HTTPErrorCode": status});
        with(
            stream,
            &format!("{status} Error"),
            "application/json",
            &body.to_string(),
        )
    }

    /// The plain text with which the agent throttles.
    pub fn throttled(stream: &mut TcpStream) -> io::Result<()> {
        with(
            stream,
            "429 Too Many Requests",
            "text/plain",
            "You have reached maximum request limit.",
        )
    }

    /// Sends the reader elsewhere.
    pub fn redirect(stream: &mut TcpStream, status: u16, location: &str) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())
    }

    /// Exactly these bytes.
    pub fn raw(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes)
    }

    /// A 200 whose body comes in chunks of the given size.
    pub fn chunked(stream: &mut TcpStream, body: &str, size: usize) -> io::Result<()> {
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        )?;
        for chunk in body.as_bytes().chunks(size) {
            stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
            stream.write_all(chunk)?;
            stream.write_all(b"\r\n")?;
        }
        stream.write_all(b"0\r\n\r\n")
    }

    /// These bytes, a few at a time with a pause after each piece.
    pub fn drip(
        stream: &mut TcpStream,
        bytes: &[u8],
        size: usize,
        pause: Duration,
    ) -> io::Result<()> {
        for piece in bytes.chunks(size) {
            stream.write_all(piece)?;
            thread::sleep(pause);
        }
        Ok(())
    }

    /// A 200 that announces the whole body and ends before it.
    pub fn truncated(stream: &mut TcpStream, body: &str, sent: usize) -> io::Result<()> {
        stream.write_all(head("200 OK", "application/json", body.len()).as_bytes())?;
        stream.write_all(&body.as_bytes()[..sent])
    }

    /// Ends the connection with a reset.
    pub fn reset(stream: &mut TcpStream) -> io::Result<()> {
        // The standard library has no stable way to set SO_LINGER. It belongs to the socket, not to the
        // descriptor, so a duplicate will do.
        tokio::net::TcpSocket::from_std_stream(stream.try_clone()?).set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }

    /// Says nothing for as long as the client stays.
    pub fn silence(stream: &mut TcpStream) -> io::Result<()> {
        stream.set_read_timeout(None)?;
        let mut rest = [0; 64];
        while matches!(stream.read(&mut rest), Ok(n) if n > 0) {}
        Ok(())
    }

    /// Head of an answer of known length.
    pub fn head(status: &str, kind: &str, length: usize) -> String {
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    }
}

/// The three keys of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub id: String,
    pub secret: String,
    pub token: String,
}

impl Keys {
    /// Keys of the usual shape that belong to this number alone. They open nothing.
    pub fn number(n: usize) -> Self {
        Self {
            id: format!("ASIAEXAMPLE{n:09}"),
            secret: format!("wJalrXUtnFEMI/K7MDENG+bPxRfiCYSEC{n:07}"),
            token: format!(
                "IQoJb3JpZ2luX2VjEXAMPLE{n:07}//////////wEaCWV1LXdlc3QtMSJGMEQCIEXAMPLETOKEN+/{n:07}=="
            ),
        }
    }

    /// Keys that each hold a text to look for.
    pub fn marked(marker: &str) -> Self {
        Self {
            id: format!("ASIA{marker}ID"),
            secret: format!("secret/{marker}+key"),
            token: format!("token//{marker}=="),
        }
    }
}

/// A credentials document to be: the ECS agent's own shape, until a test changes it.
#[derive(Clone, Debug)]
pub struct Document {
    fields: BTreeMap<String, Value>,
}

impl Default for Document {
    fn default() -> Self {
        Self::new(&Keys::number(0))
    }
}

impl Document {
    pub const ACCOUNT: &str = "123456789012";
    pub const ROLE: &str = "arn:aws:iam::123456789012:role/gha-taskrole";

    /// A good document: the role above, good for six hours.
    pub fn new(keys: &Keys) -> Self {
        Self {
            fields: BTreeMap::new(),
        }
        .with("RoleArn", Self::ROLE)
        .with("AccessKeyId", &*keys.id)
        .with("SecretAccessKey", &*keys.secret)
        .with("Token", &*keys.token)
        .expiring_in(6 * 3600)
    }

    /// Sets a field to any JSON value.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.fields.remove(name);
        self
    }

    /// Another role, and with it another account.
    pub fn role(self, arn: &str) -> Self {
        self.with("RoleArn", arn)
    }

    /// `AccountId`, which EKS sends and ECS does not.
    pub fn account(self, id: &str) -> Self {
        self.with("AccountId", id)
    }

    /// Ends so many seconds from now; a negative number has ended already.
    pub fn expiring_in(self, seconds: i64) -> Self {
        let expiration = rfc3339(now() + seconds);
        self.with("Expiration", expiration)
    }

    /// The text of a field.
    pub fn text(&self, name: &str) -> &str {
        self.fields[name].as_str().unwrap()
    }

    pub fn json(&self) -> String {
        serde_json::to_string(&self.fields).unwrap()
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A moment as the ECS agent writes it: RFC 3339, UTC, whole seconds.
pub fn rfc3339(seconds: i64) -> String {
    let (mut days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let mut year = 1970;
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!(
        "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
        days + 1
    )
}
