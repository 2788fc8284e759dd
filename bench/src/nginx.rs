//! nginx as the yardstick: one worker, kept-alive upstream connections, no buffering of replies, no access log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Why nginx cannot be measured here, with what to do about it.
pub(crate) fn missing() -> Option<String> {
    program().is_none().then(|| {
        "nginx is not installed, so that its row is missing; on Debian or Ubuntu: \
         `apt-get install nginx-light && systemctl disable --now nginx`"
            .to_owned()
    })
}

/// Writes a configuration into `folder` and says how to start nginx with it.
pub(crate) fn command(listen: SocketAddr, upstream: SocketAddr, folder: &Path) -> Result<Command> {
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration(listen, upstream, folder))
        .with_context(|| format!("writing {}", file.display()))?;
    let mut command = Command::new(program().context("nginx is not installed")?);
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(&file)
        .arg("-e")
        .arg("stderr");
    Ok(command)
}

/// Requests per connection are unlimited in effect: the default of 1,000 would measure reconnecting. The body's buffer holds
/// the largest prompt, so that none is written to a file.
fn configuration(listen: SocketAddr, upstream: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{
    worker_connections 1024;
}}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_buffer_size 64k;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream mock {{
        server {upstream};
        keepalive 128;
        keepalive_requests 100000000;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }}
    }}
}}
"
    )
}

/// The program is often installed where only root's path leads.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    folders
        .map(|folder| folder.join("nginx"))
        .find(|program| program.is_file())
}
