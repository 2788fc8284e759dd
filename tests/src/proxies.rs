//! nginx and HAProxy in front of a gateway, as people run them. Each tells for every request, by its `x-request-id`, whether
//! it was sent on.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::gateway::Home;

const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    address: SocketAddr,
    home: Home,
}

impl Proxy {
    /// nginx in front of this address; none where it is not installed.
    pub async fn nginx(upstream: SocketAddr) -> Option<Proxy> {
        let home = Home::new();
        let listen = free_port();
        let at = |name: &str| home.path(name).display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {};\n", at(name)))
            .collect();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {pid};\nerror_log {errors};\nevents {{}}\nhttp {{\n{temporary}\
             log_format sent '$http_x_request_id $upstream_addr';\naccess_log {log} sent;\n\
             upstream gateway {{ server {upstream}; keepalive 8; }}\nclient_header_timeout 1;\nclient_body_timeout 1;\nkeepalive_timeout 1;\n\
             server {{\nlisten {listen};\nlocation / {{\nproxy_pass http://gateway;\nproxy_http_version 1.1;\n\
             proxy_set_header Connection \"\";\nproxy_request_buffering off;\nproxy_read_timeout 5;\n}}\n}}\n}}\n",
            pid = at("pid"),
            errors = at("errors.log"),
            log = at("sent.log"),
        );
        let file = home.write("nginx.conf", config);
        let mut command = Command::new("nginx");
        command.arg("-c").arg(file).arg("-e").arg(home.path("errors.log"));
        Self::start(command, home, listen).await
    }

    /// HAProxy in front of this address; none where it is not installed.
    pub async fn haproxy(upstream: SocketAddr) -> Option<Proxy> {
        let home = Home::new();
        let listen = free_port();
        let config = format!(
            "global\n  log stdout format raw local0\ndefaults\n  mode http\n  log global\n  timeout connect 5s\n  timeout client 1s\n\
             \x20 timeout server 5s\n  timeout http-request 1s\n  http-reuse always\nfrontend clients\n  bind {listen}\n\
             \x20 http-request capture req.hdr(x-request-id) len 60\n  log-format \"%[capture.req.hdr(0)] %s\"\n\
             \x20 default_backend gateways\nbackend gateways\n  server gateway {upstream}\n"
        );
        let file = home.write("haproxy.cfg", config);
        let log = fs::File::create(home.path("sent.log")).expect("no log for the proxy");
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file).stdout(log);
        Self::start(command, home, listen).await
    }

    async fn start(mut command: Command, home: Home, address: SocketAddr) -> Option<Proxy> {
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let proxy = Proxy { child, address, home };
        let began = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(began.elapsed() < PATIENCE, "{command:?} does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(proxy)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, and gives the ids of all requests that it has sent on.
    pub fn sent(mut self) -> Vec<String> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process without a number");
        kill_process(pid, Signal::TERM).expect("the proxy cannot be signalled");
        self.child.wait().expect("the proxy cannot be waited for");
        let log = fs::read(self.home.path("sent.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let was_sent = |line: &&str| !line.ends_with(" -") && !line.ends_with("<NOSRV>");
        let id = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        log.lines().filter(was_sent).map(id).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One that the system has just given and nobody uses.
fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("no port");
    listener.local_addr().expect("no port")
}
