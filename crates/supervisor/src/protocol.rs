//! Requests, answers and exec frames as they are on the socket. Pure.
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cgroups::Limits;
use crate::failure::{Failure, Result};
use crate::logs::Target;

/// A request line longer than this ends the connection.
pub const MAX_REQUEST: usize = 1024 * 1024;
/// A frame longer than this ends the connection.
pub const MAX_FRAME: usize = 256 * 1024;

/// Everything that can be asked.
#[derive(Debug, Deserialize)]
#[serde(tag = "op")]
pub enum Op {
    #[serde(rename = "hello")]
    Hello,
    #[serde(rename = "sandbox.create")]
    SandboxCreate(SandboxCreate),
    #[serde(rename = "sandbox.remove")]
    SandboxRemove { sandbox: String },
    #[serde(rename = "sandbox.list")]
    SandboxList,
    #[serde(rename = "container.create")]
    ContainerCreate(ContainerCreate),
    #[serde(rename = "container.start")]
    ContainerStart { container: String },
    #[serde(rename = "container.signal")]
    ContainerSignal { container: String, signal: i32 },
    #[serde(rename = "container.update")]
    ContainerUpdate { container: String, limits: Limits },
    #[serde(rename = "container.remove")]
    ContainerRemove { container: String },
    #[serde(rename = "container.list")]
    ContainerList,
    #[serde(rename = "process.start")]
    ProcessStart(ProcessStart),
    #[serde(rename = "process.stop")]
    ProcessStop {
        process: String,
        #[serde(default = "default_grace")]
        grace_ms: u64,
    },
    #[serde(rename = "process.list")]
    ProcessList,
    #[serde(rename = "usage")]
    Usage,
    #[serde(rename = "subscribe")]
    Subscribe,
    #[serde(rename = "exec")]
    Exec(Exec),
    #[serde(rename = "attach")]
    Attach(Attach),
    #[serde(rename = "shutdown")]
    Shutdown {
        #[serde(default)]
        grace_ms: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SandboxCreate {
    pub sandbox: String,
    pub hostname: String,
    pub netns: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ContainerCreate {
    pub container: String,
    pub sandbox: String,
    pub bundle: PathBuf,
    /// Lowest first; empty when the bundle's `rootfs/` is ready as it is.
    #[serde(default)]
    pub layers: Vec<PathBuf>,
    pub upper: Option<PathBuf>,
    pub work: Option<PathBuf>,
    pub log: Option<Target>,
    /// Its standard input is a pipe (or the terminal) that whoever attaches may write to.
    #[serde(default)]
    pub stdin: bool,
    /// Standard input ends with the first client that was attached to it.
    #[serde(default)]
    pub stdin_once: bool,
    #[serde(default)]
    pub tty: bool,
    /// Another container of the sandbox whose processes it sees.
    pub target: Option<String>,
}

/// The same `argv` and `netns` are the same process; anything else replaces it.
#[derive(Clone, Debug, Deserialize)]
pub struct ProcessStart {
    pub process: String,
    pub argv: Vec<String>,
    pub netns: Option<PathBuf>,
    pub uid: u32,
    pub gid: u32,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    pub log: Option<Target>,
    /// Below the instance's cgroup; empty: `native/ID`.
    #[serde(default)]
    pub cgroup: String,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default = "yes")]
    pub restart: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Exec {
    pub container: String,
    pub argv: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub tty: bool,
    #[serde(default)]
    pub stdin: bool,
    pub user: Option<User>,
    pub cwd: Option<String>,
}

/// The streams of a running container's first process.
#[derive(Clone, Debug, Deserialize)]
pub struct Attach {
    pub container: String,
    #[serde(default)]
    pub stdin: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

fn default_grace() -> u64 {
    5000
}

fn yes() -> bool {
    true
}

/// A request's number and what it asks; the number is 0 when there is none to answer to.
pub fn parse(line: &[u8]) -> (u64, Result<Op>) {
    let value: Value = match serde_json::from_slice(line) {
        Ok(value) => value,
        Err(error) => return (0, Err(Failure::invalid(format!("not JSON: {error}")))),
    };
    let Some(id) = value.get("id").and_then(Value::as_u64) else {
        return (0, Err(Failure::invalid("id must be a whole number")));
    };
    let op = Op::deserialize(value).map_err(|error| Failure::invalid(error.to_string()));
    (id, op)
}

/// The answer line, with its newline.
pub fn answer(id: u64, outcome: &Result<Value>) -> String {
    let mut line = match outcome {
        Ok(value) => json!({"id": id, "ok": value}),
        Err(failure) => json!({"id": id, "error": failure}),
    }
    .to_string();
    line.push('\n');
    line
}

/// Ids become file names and cgroup names.
pub fn check_id(kind: &str, id: &str) -> Result<()> {
    let mut bytes = id.bytes();
    let good = id.len() <= 128
        && bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if good {
        Ok(())
    } else {
        Err(Failure::invalid(format!(
            "{kind} id {id:?} must be 1 to 128 of letters, digits, _ . - and begin with a letter or digit"
        )))
    }
}

/// The channel of an exec frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Stdin,
    Stdout,
    Stderr,
    Exit,
    Resize,
}

// === impl Channel ===

impl Channel {
    pub fn from_byte(byte: u8) -> Result<Self> {
        Ok(match byte {
            0 => Self::Stdin,
            4 => Self::Resize,
            other => {
                return Err(Failure::invalid(format!(
                    "channel {other} is not for clients"
                )));
            }
        })
    }

    pub fn byte(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Exit => 3,
            Self::Resize => 4,
        }
    }
}

/// The five bytes before a frame's payload.
pub fn frame_header(channel: Channel, length: usize) -> [u8; 5] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [channel.byte(), a, b, c, d]
}

/// The channel and length that a header says.
pub fn parse_header(header: [u8; 5]) -> Result<(Channel, usize)> {
    let [channel, a, b, c, d] = header;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > MAX_FRAME {
        return Err(Failure::invalid(format!(
            "a frame of {length} bytes is over {MAX_FRAME}"
        )));
    }
    Ok((Channel::from_byte(channel)?, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failure::Code;

    #[test]
    fn reads_requests_with_defaults() {
        let line = br#"{"id":7,"op":"process.start","process":"p","argv":["/x"],"uid":1,"gid":2}"#;
        let (id, op) = parse(line);
        assert_eq!(id, 7);
        let Ok(Op::ProcessStart(start)) = op else {
            panic!("{op:?}")
        };
        assert!(start.restart);
        assert_eq!(
            (start.uid, start.netns, start.limits),
            (1, None, Limits::default())
        );
    }

    #[test]
    fn says_what_is_wrong() {
        for (line, id, text) in [
            ("nonsense", 0, "not JSON"),
            ("{}", 0, "id must be a whole number"),
            (r#"{"id":1,"op":"dance"}"#, 1, "unknown variant `dance`"),
            (
                r#"{"id":2,"op":"container.start"}"#,
                2,
                "missing field `container`",
            ),
            (r#"{"id":3}"#, 3, "missing field `op`"),
        ] {
            let (got, op) = parse(line.as_bytes());
            let failure = op.unwrap_err();
            assert_eq!((got, failure.code), (id, Code::Invalid), "{line}");
            assert!(failure.message.contains(text), "{}", failure.message);
        }
    }

    #[test]
    fn ids_cannot_leave_their_directory() {
        for id in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "-x",
            "a b",
            "é",
            &"x".repeat(129),
        ] {
            assert!(check_id("container", id).is_err(), "{id:?}");
        }
        for id in ["a", "1a2b3c4d-app-0", "sidecar-0b1c.x_y"] {
            assert!(check_id("container", id).is_ok(), "{id:?}");
        }
    }

    #[test]
    fn answers_are_one_line() {
        let text = answer(3, &Err(Failure::new(Code::NotFound, "no\nsuch")));
        assert_eq!(
            text,
            "{\"error\":{\"code\":\"not_found\",\"message\":\"no\\nsuch\"},\"id\":3}\n"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_a_failure(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn headers_round_trip_or_are_refused(header in any::<[u8; 5]>()) {
            if let Ok((channel, length)) = parse_header(header) {
                prop_assert!(length <= MAX_FRAME);
                prop_assert_eq!(frame_header(channel, length), header);
            }
        }
    }
}
