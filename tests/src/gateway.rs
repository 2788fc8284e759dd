//! The real gateway as a process: a folder of its own for configuration, plugins and state, ports that the system chooses,
//! an environment without anybody's keys. It is killed when this is dropped.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::workspace;

use crate::client::{Client, Reply};
use crate::secrets::Secrets;

/// A debug build on a busy machine compiles its plugins in this time many times over.
const START: Duration = Duration::from_secs(120);
/// How long a test waits for what must come, and how often it looks. A new script has its engine compiled anew, at the lowest
/// priority.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(20);

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    home: Home,
    data: SocketAddr,
    admin: SocketAddr,
    token: Option<String>,
    log: Log,
    secrets: Secrets,
}

/// The folder that a gateway lives in; it outlives the process, so that a test can start another one on the same state.
#[derive(Debug, Clone)]
pub struct Home(Arc<TempDir>);

type Log = Arc<Mutex<String>>;

impl Home {
    /// A folder that is empty but for what gateways of other tests have compiled: that takes longer than most tests, and an
    /// interpreter's takes ten seconds and more.
    pub fn new() -> Home {
        let home = Home(Arc::new(
            TempDir::with_prefix("pointsman-").expect("no folder for the gateway"),
        ));
        let cache = workspace().join("target/compiled");
        fs::create_dir_all(&cache).expect("no folder for compiled plugins");
        let data = home.path("pointsman-data");
        fs::create_dir(&data).expect("no folder for what the gateway keeps");
        symlink(cache, data.join("cache")).expect("cannot link the folder for compiled plugins");
        home
    }

    /// A folder with this configuration; see [`complete`].
    pub fn with_config(config: &str) -> Home {
        let home = Home::new();
        home.write("pointsman.toml", complete(config));
        home
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("cannot make a folder for the gateway");
        fs::write(&path, contents).expect("cannot write a file for the gateway");
        path
    }

    /// `pointsman` with these arguments, in this folder and in a clean environment; not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.0.path()).env_clear();
        for kept in ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE"] {
            command.envs(env::var_os(kept).map(|value| (kept, value)));
        }
        command.stdin(Stdio::null());
        command
    }

    /// `pointsman admin create` with this role: the token's id, and its text.
    pub fn make_token(&self, role: &str) -> (String, String) {
        let output = self.run(&[
            "admin", "create", "--name", "a test", "--role", role, "--format", "json",
        ]);
        assert!(output.status.success(), "{output:?}");
        let made: Value = serde_json::from_slice(&output.stdout).expect("not JSON");
        let text = |name: &str| made[name].as_str().expect("not what was made").to_owned();
        (text("id"), text("key"))
    }

    /// Runs a command that ends by itself.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("cannot start pointsman")
    }
}

impl Default for Home {
    fn default() -> Home {
        Home::new()
    }
}

impl Gateway {
    /// Starts a gateway with this configuration; see [`complete`].
    pub async fn start(config: &str) -> Gateway {
        Gateway::start_in(Home::with_config(config)).await
    }

    /// Starts a gateway with the `pointsman.toml` of this folder.
    pub async fn start_in(home: Home) -> Gateway {
        let command = home.command(&["serve", "--config", "pointsman.toml"]);
        Gateway::start_with(home, command).await
    }

    /// Starts a gateway with a command of the test's own, with an environment variable say.
    pub async fn start_with(home: Home, command: Command) -> Gateway {
        tokio::task::spawn_blocking(|| launch(home, command))
            .await
            .expect("the gateway did not start")
    }

    /// Where the data listener is, as clients name it: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.data)
    }

    /// Where the admin listener is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Whether the data listener takes connections.
    pub async fn is_listening(&self) -> bool {
        tokio::net::TcpStream::connect(self.data).await.is_ok()
    }

    /// A client of the data listener.
    pub fn data(&self) -> Client {
        Client::new(self.data)
    }

    /// Where the data listener is.
    pub fn data_address(&self) -> SocketAddr {
        self.data
    }

    /// A client of the admin listener, with the token of [`Gateway::with_token`].
    pub fn admin(&self) -> Client {
        let client = Client::new(self.admin);
        match &self.token {
            Some(token) => client.with_header("authorization", &format!("Bearer {token}")),
            None => client,
        }
    }

    /// Makes a token with the role `write`, as an operator does, and returns when it is in force.
    pub async fn with_token(mut self) -> Gateway {
        let (_, token) = self.home.make_token("write");
        self.token = Some(token);
        let began = Instant::now();
        while self.admin().get("/admin/keys").await.status != 200 {
            assert!(began.elapsed() < PATIENCE, "the token is not taken");
            tokio::time::sleep(PAUSE).await;
        }
        self
    }

    /// The token of [`Gateway::with_token`].
    pub fn token(&self) -> &str {
        self.token.as_deref().expect("a gateway without a token")
    }

    /// Where the gateway lives.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Replaces the configuration file; see [`complete`].
    pub fn write_config(&self, config: &str) {
        self.home.write("pointsman.toml", complete(config));
    }

    /// `POST /admin/reload`
    pub async fn reload(&self) -> Reply {
        self.admin().post("/admin/reload", &json!({})).await
    }

    /// A document of the admin listener.
    pub async fn shows(&self, path: &str) -> Value {
        let reply = self.admin().get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// Waits until a document of the admin listener is as wanted, and returns it.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let shown = self.shows(path).await;
            if wanted(&shown) {
                return shown;
            }
            assert!(began.elapsed() < PATIENCE, "{path} stays as it is: {shown:#}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the log has a line with all of these, and returns that line.
    pub async fn logged(&self, texts: &[&str]) -> String {
        let began = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| texts.iter().all(|text| line.contains(text))) {
                return line.to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "the log has no line with {texts:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Bytes of memory that the process has; none where the system does not say.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes << 10)
    }

    /// The value of a metric line, by its name and labels exactly as exposed; 0 where there is no such line.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.admin().get("/metrics").await.text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| {
            value.trim().parse().expect("a metric whose value is not a number")
        })
    }

    /// What of the secrets of its configuration is in a text.
    pub fn secret_in(&self, text: &str) -> Option<String> {
        let mut secrets = Secrets::default();
        secrets.learn(&self.home);
        secrets
            .within(text.as_bytes())
            .or_else(|| self.secrets.within(text.as_bytes()))
    }

    /// Everything that the gateway has printed so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the gateway cannot be asked").is_none()
    }

    /// Sends a signal, `Signal::HUP` say.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process without a number");
        kill_process(pid, signal).expect("the gateway cannot be signalled");
    }

    /// Asks the gateway to stop and waits until it has.
    pub async fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the gateway cannot be asked") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the gateway does not end");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Gateway {
    /// Whatever a test did, and though the process was killed in the middle of it: what it kept is sound. A test that damages
    /// its store says so by a file `damaged` in its folder.
    fn check_store(&self) {
        let has = |name: &str| self.home.path(name).exists();
        if !has("pointsman-data/pointsman.db") || has("damaged") {
            return;
        }
        self.home.write("store.toml", "[store]\npath = \"pointsman-data\"\n");
        for checked in [["store", "check"], ["audit", "check"]] {
            let output = self.home.run(&[&checked[..], &["--config", "store.toml"]].concat());
            assert!(
                output.status.success(),
                "{checked:?}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

impl Gateway {
    /// Whatever a test did: no secret has left the gateway, nothing in it has panicked, and nothing that somebody sent can pass
    /// for lines of its log or move a terminal's cursor.
    fn check_what_it_said(&mut self) {
        self.secrets.learn(&self.home);
        let admin = self.is_running().then_some(self.admin).filter(|admin| admin.port() > 0);
        let log = self.log();
        self.secrets.check(&log, admin, self.token.as_deref(), &self.home);
        for line in log.lines() {
            assert!(!line.contains("panicked at"), "{line}");
            let control = line.chars().find(|c| c.is_control() && *c != '\t');
            assert_eq!(control, None, "in a line of the log: {line:?}");
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.check_what_it_said();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the gateway's log ---\n{}--- end ---", self.log());
        } else {
            self.check_store();
        }
    }
}

/// A configuration with ports that the system chooses, unless it names its own. What a test writes into `[server]` or
/// `[admin]` stays.
pub fn complete(config: &str) -> String {
    ["[server]", "[admin]"]
        .into_iter()
        .fold(config.to_owned(), |config, table| {
            let listen = format!("{table}\nlisten = \"127.0.0.1:0\"\n");
            if config.lines().any(|line| line.trim() == table) {
                config.replacen(&format!("{table}\n"), &listen, 1)
            } else {
                format!("{config}\n{listen}")
            }
        })
}

/// cargo names the binary that it built for the tests.
pub(crate) fn binary() -> PathBuf {
    env::var_os("CARGO_BIN_EXE_pointsman")
        .map(PathBuf::from)
        .expect("these tests are run by cargo: `cargo xtask test`")
}

fn launch(home: Home, mut command: Command) -> Gateway {
    let mut secrets = Secrets::of_environment(&command);
    secrets.learn(&home);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cannot start pointsman");
    let log = Log::default();
    let (announce, announced) = mpsc::sync_channel(2);
    collect(child.stdout.take(), Arc::clone(&log), Some(announce));
    collect(child.stderr.take(), Arc::clone(&log), None);
    let (mut data, mut admin) = (None, None);
    loop {
        if let (Some(data), Some(admin)) = (data, admin) {
            return Gateway {
                child,
                home,
                data,
                admin,
                token: None,
                log,
                secrets,
            };
        }
        match announced.recv_timeout(START) {
            Ok((Listener::Data, address)) => data = Some(address),
            Ok((Listener::Admin, address)) => admin = Some(address),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let status = child.wait();
    panic!(
        "the gateway did not start ({status:?}):\n{}",
        log.lock().unwrap_or_else(PoisonError::into_inner)
    )
}

#[derive(Debug, Clone, Copy)]
enum Listener {
    Data,
    Admin,
}

/// Reads a pipe to its end in a thread of its own, so that the gateway never waits for a reader.
fn collect(
    pipe: Option<impl Read + Send + 'static>,
    log: Log,
    announce: Option<mpsc::SyncSender<(Listener, SocketAddr)>>,
) {
    let Some(pipe) = pipe else { return };
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if let (Some(announce), Some(found)) = (&announce, announcement(&line)) {
                let _ = announce.try_send(found);
            }
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
}

fn announcement(line: &str) -> Option<(Listener, SocketAddr)> {
    let (listener, url) = line.trim().split_once(" listening on ")?;
    // A socket has no address; a test that wants one there knows its file.
    let nowhere = "0.0.0.0:0";
    let address = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .unwrap_or(nowhere);
    let listener = match listener {
        "data" => Listener::Data,
        "admin" => Listener::Admin,
        _ => return None,
    };
    Some((listener, address.parse().ok()?))
}
