//! A PostgreSQL server of a test's own, in a folder and at a port of its own: it can be killed, suspended, emptied, and put back to how
//! it was. It is gone when this is dropped.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::not_tested;
use crate::tls::Authority;

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// Of a user that every system has. The server refuses to run as root.
const NOBODY: u32 = 65534;
const PASSWORD: &str = "the-fleets-password";

/// The server.
#[derive(Debug)]
pub struct Database {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Database {
    /// A server without any tables; none where PostgreSQL is not installed, which is said.
    pub fn start() -> Option<Database> {
        let mut database = Self::new()?;
        database.make();
        database.run();
        Some(database)
    }

    /// The same, with a certificate of this authority for this name, for those who want one.
    pub fn start_with_certificate(authority: &Authority, name: &str) -> Option<Database> {
        let mut database = Self::new()?;
        database.make();
        let (certificate, key) = authority.issue(name);
        database.put("server.crt", &certificate);
        database.put("server.key", &key);
        database.put("postgresql.auto.conf", "ssl = on\n");
        database.run();
        Some(database)
    }

    fn new() -> Option<Database> {
        let Some(programs) = programs() else {
            not_tested(
                "what gateways share through PostgreSQL",
                "install PostgreSQL to test it",
            );
            return None;
        };
        let folder = TempDir::with_prefix("pointsman-postgres-").expect("no folder for the database");
        if geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("the folder cannot be given away");
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("no port");
        let port = listener.local_addr().expect("no port").port();
        drop(listener);
        Some(Database {
            programs,
            folder,
            port,
            server: None,
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        self.command(&self.programs.join(name))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn make(&self) {
        let password = self.folder.path().join("password");
        fs::write(&password, PASSWORD).expect("cannot write the password");
        let made = self
            .program("initdb")
            .args([
                "--no-sync",
                "--no-locale",
                "--encoding=UTF8",
                "--username=pointsman",
                "--auth=scram-sha-256",
            ])
            .args([
                OsStr::new("--pwfile"),
                password.as_os_str(),
                OsStr::new("--pgdata"),
                self.data().as_os_str(),
            ])
            .output()
            .expect("initdb does not run");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Puts a file among its data, for itself and nobody else.
    fn put(&self, name: &str, content: &str) {
        let file = self.data().join(name);
        fs::write(&file, content).expect("cannot write among the database's files");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("cannot be its alone");
        if geteuid().is_root() {
            chown(&file, Some(NOBODY), Some(NOBODY)).expect("the file cannot be given away");
        }
    }

    /// Starts it where it does not run, and waits until it answers.
    pub fn run(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"));
        let mut command = self.program("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-F", "-h", "127.0.0.1", "-k", "", "-p"]);
        command.arg(self.port.to_string());
        command
            .stdout(Stdio::null())
            .stderr(log.expect("no log for the database"));
        self.server = Some(command.spawn().expect("postgres does not run"));
        let began = Instant::now();
        while self.ask("SELECT 1").is_none() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "the database does not start:\n{}", log());
            sleep(PAUSE);
        }
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its URL, by way of this address.
    pub fn url_by(&self, address: std::net::SocketAddr) -> String {
        format!("postgres://pointsman:{PASSWORD}@{address}/postgres")
    }

    /// Its URL under a name of this machine, with this behind it.
    pub fn url_as(&self, host: &str, settings: &str) -> String {
        format!(
            "postgres://pointsman:{PASSWORD}@{host}:{}/postgres?{settings}",
            self.port
        )
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.url_by(self.address())
    }

    /// What it answers to a statement, with a line for each row and bars between columns.
    pub fn answer(&self, statement: &str) -> String {
        self.ask(statement).expect("the database does not answer")
    }

    fn ask(&self, statement: &str) -> Option<String> {
        let asked = self
            .program("psql")
            .args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", statement])
            .arg(self.url())
            .output()
            .expect("psql does not run");
        asked
            .status
            .success()
            .then(|| String::from_utf8_lossy(&asked.stdout).trim().to_owned())
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        self.end(Signal::QUIT);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut server) = self.server.take() {
            kill(server.id(), signal);
            let _ = server.wait();
        }
    }

    /// It does nothing, and keeps its connections.
    pub fn suspend(&self) {
        self.processes().into_iter().for_each(|id| kill(id, Signal::STOP));
    }

    /// It goes on.
    pub fn resume(&self) {
        self.processes().into_iter().for_each(|id| kill(id, Signal::CONT));
    }

    /// The server with all that work for it.
    fn processes(&self) -> Vec<u32> {
        let server = self.server.as_ref().expect("the database does not run").id();
        let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        std::iter::once(server).chain(children).collect()
    }

    /// Keeps how it is, as a replica does that hears no more from now on.
    pub fn copy(&mut self) {
        self.end(Signal::INT);
        let copied = self
            .command(Path::new("cp"))
            .arg("-R")
            .arg(self.data())
            .arg(self.folder.path().join("copy"))
            .status();
        assert!(copied.expect("cp does not run").success());
        self.run();
    }

    /// It is lost, and the replica is in its place.
    pub fn fall_back(&mut self) {
        self.kill();
        fs::remove_dir_all(self.data()).expect("cannot remove the database");
        fs::rename(self.folder.path().join("copy"), self.data()).expect("there is no copy");
        self.run();
    }

    /// It is lost, and an empty one is in its place.
    pub fn begin_anew(&mut self) {
        self.kill();
        fs::remove_dir_all(self.data()).expect("cannot remove the database");
        self.make();
        self.run();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.resume();
            self.kill();
        }
    }
}

fn kill(process: u32, signal: Signal) {
    let process = Pid::from_raw(process.cast_signed()).expect("a process without a number");
    let _ = kill_process(process, signal);
}

/// The folder of its programs: where distributions put those that nobody is to call, or wherever calls lead.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = versions.map(|version| version.path().join("bin"));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths: Vec<PathBuf> = std::env::split_paths(&paths).collect();
    let has = |folder: &Path| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|program| folder.join(program).is_file())
    };
    versions.chain(paths).find(|folder| has(folder))
}
