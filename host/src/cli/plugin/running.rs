//! The version of a plugin that a running gateway serves with, from its admin listener, and how a component differs from it.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cli::admin::authorize;
use crate::config::Source;
use crate::plugins::Inspection;

/// The admin listener answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// What there is to compare with.
pub(super) enum Running {
    /// As the admin listener shows it.
    Plugin(Box<Value>),
    /// Nothing, and why.
    Nothing(String),
}

/// Asks the gateway at this address, or at the one that the configuration names. That none runs is no error unless somebody
/// named it.
pub(super) async fn find(
    config: Option<&Path>,
    admin: Option<&str>,
    name: Option<&str>,
    file: &Path,
) -> Result<Running, String> {
    let address = match admin {
        Some(url) => url
            .strip_prefix("http://")
            .unwrap_or(url)
            .trim_end_matches('/')
            .to_owned(),
        None => match Source::find(config).map(|source| (source.path.is_some(), source.load())) {
            Ok((true, Ok(config))) => config.admin.listen.to_string(),
            Ok((true, Err(error))) | Err(error) => {
                return Ok(Running::Nothing(format!(
                    "unknown, the configuration is wrong: {error}"
                )));
            }
            Ok((false, _)) => {
                let why = "unknown: there is no configuration; give --admin URL or --config FILE";
                return Ok(Running::Nothing(why.to_owned()));
            }
        },
    };
    let shown = match timeout(PATIENCE, ask(&address)).await {
        Ok(Ok(shown)) => shown,
        failed => {
            let why = failed.map_or_else(|_| "it does not answer".to_owned(), |ask| ask.err().unwrap_or_default());
            return match admin {
                Some(url) => Err(format!("{url}: {why}")),
                None => Ok(Running::Nothing(format!("no gateway runs at http://{address}: {why}"))),
            };
        }
    };
    let plugins = shown["plugins"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    let by_name = |name: &str| plugins.iter().find(|plugin| plugin["name"] == name);
    let found = match name {
        Some(name) => by_name(name),
        None => plugins
            .iter()
            .find(|plugin| is_file(plugin, file))
            .or_else(|| by_name(&file.file_stem().unwrap_or_default().to_string_lossy())),
    };
    Ok(match found {
        Some(plugin) => Running::Plugin(Box::new(plugin.clone())),
        None => Running::Nothing(format!(
            "not in service at http://{address}; --name NAME compares with another"
        )),
    })
}

fn is_file(plugin: &Value, file: &Path) -> bool {
    let component = plugin["component"]
        .as_str()
        .map(|component| Path::new(component).canonicalize());
    matches!((component, file.canonicalize()), (Some(Ok(one)), Ok(other)) if one == other)
}

async fn ask(address: &str) -> Result<Value, String> {
    let text = |error: hyper::Error| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let mut request = Request::get("/admin/plugins")
        .header(HOST, address)
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    authorize(request.headers_mut())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(text)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(text)?.to_bytes();
        match status.is_success() {
            true => serde_json::from_slice(&body).map_err(|error| format!("no answer of a gateway: {error}")),
            false => Err(format!("it answers with {status}")),
        }
    };
    tokio::select! {
        answer = answer => answer,
        Err(error) = connection => Err(text(error)),
    }
}

impl Running {
    pub(super) fn plugin(&self) -> Option<&Value> {
        match self {
            Running::Plugin(plugin) => Some(plugin),
            Running::Nothing(_) => None,
        }
    }

    /// The difference, as lines of the table.
    pub(super) fn told(&self, inspection: &Inspection) -> String {
        let plugin = match self {
            Running::Plugin(plugin) => plugin,
            Running::Nothing(why) => return format!("running   {why}\n"),
        };
        let name = plugin["name"].as_str().unwrap_or_default();
        let digest = plugin["running_digest"].as_str().unwrap_or_default();
        if digest == inspection.digest.to_string() {
            return format!("running   {name}: this very version\n");
        }
        let mut text = format!("running   {name}: another version\n- digest  sha256:{digest}\n");
        let size = plugin["size"].as_u64().unwrap_or_default();
        if size != inspection.size as u64 {
            text.push_str(&format!("- size    {size} bytes\n"));
        }
        let imports: Vec<String> = inspection.imports.iter().map(|import| import.name.clone()).collect();
        let grants: Vec<String> = inspection.grants.iter().map(|grant| grant.name().to_owned()).collect();
        text.push_str(&changes("grant", &plugin["grants"], &grants));
        text.push_str(&changes("import", &plugin["imports"], &imports));
        text.push_str(&changes("export", &plugin["exports"], &inspection.exports));
        text
    }
}

/// What only the running version has, and what only this one has.
fn changes(what: &str, running: &Value, own: &[String]) -> String {
    let running: Vec<&str> = running
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let gone = running.iter().filter(|name| own.iter().all(|other| other != *name));
    let new = own.iter().filter(|name| !running.contains(&name.as_str()));
    let gone = gone.map(|name| format!("- {what:<8}{name}\n"));
    gone.chain(new.map(|name| format!("+ {what:<8}{name}\n"))).collect()
}
