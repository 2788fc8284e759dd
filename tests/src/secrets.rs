//! What no gateway may ever say: the secrets of its configuration and environment, the pepper of its store, and whatever has the form
//! of a key or a token of its own. Every gateway of every test is looked through for them when it ends: its log, what it shows
//! operators, its metrics, and the files that it has kept.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, str};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use toml::Value;

use crate::gateway::Home;

/// Settings that hold a secret, wherever they are.
const SETTINGS: [&str; 11] = [
    "api_key",
    "api_keys",
    "database",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "service_account",
    "secret",
    "pepper",
    "headers",
    "key_file",
];
/// Shorter texts are found by chance; of headers, whose values need not be secret, the gateway promises it from here on.
const SHORTEST: usize = 8;
const SHORTEST_HEADER: usize = 12;
/// Who has so much of a longer secret has too much of it.
const BEGINNING: usize = 12;
/// What operators can look at.
const SHOWN: [&str; 11] = [
    "/",
    "/readyz",
    "/metrics",
    "/admin/plugins",
    "/admin/routes",
    "/admin/health",
    "/admin/limits",
    "/admin/cache",
    "/admin/spend",
    "/admin/budgets",
    "/admin/keys",
];
/// Files in the store that are secrets, or what other tests have compiled.
const OWN: [&str; 2] = ["pepper", "cache"];

/// Texts that must not be seen, with all the forms in which they could be.
#[derive(Debug, Default)]
pub(crate) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Those that a command's environment was given.
    pub(crate) fn of_environment(command: &Command) -> Secrets {
        let mut secrets = Secrets::default();
        for (name, value) in command.get_envs() {
            let name = name.to_string_lossy();
            if ["KEY", "SECRET", "TOKEN", "PEPPER"]
                .iter()
                .any(|part| name.contains(part))
            {
                secrets.add(&value.unwrap_or_default().to_string_lossy(), SHORTEST);
            }
        }
        secrets
    }

    /// Those of the configuration that a folder has now, and the pepper of its store.
    pub(crate) fn learn(&mut self, home: &Home) {
        let text = fs::read_to_string(home.path("pointsman.toml")).unwrap_or_default();
        if let Ok(table) = text.parse::<toml::Table>() {
            self.walk(&Value::Table(table), None, home);
        }
        if let Ok(pepper) = fs::read_to_string(home.path("pointsman-data/pepper")) {
            self.add(pepper.trim(), SHORTEST);
        }
    }

    fn walk(&mut self, value: &Value, within: Option<&str>, home: &Home) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    let setting = SETTINGS.iter().find(|setting| *setting == key).copied();
                    self.walk(value, setting.or(within), home);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.walk(value, within, home)),
            Value::String(text) => {
                let shortest = match within {
                    None => return,
                    Some("key_file") => return self.add_key(&fs::read_to_string(home.path(text)).unwrap_or_default()),
                    Some("headers") => SHORTEST_HEADER,
                    Some(_) => SHORTEST,
                };
                self.add_setting(text, shortest, home);
            }
            _ => {}
        }
    }

    /// What the environment holds is known already.
    fn add_setting(&mut self, text: &str, shortest: usize, home: &Home) {
        let Some(reference) = text.strip_prefix("${") else {
            return self.add(text, shortest);
        };
        let Some(path) = reference.strip_prefix("file:").and_then(|path| path.strip_suffix('}')) else {
            return;
        };
        let file = fs::read_to_string(home.path(path)).unwrap_or_default();
        match serde_json::from_str::<serde_json::Value>(&file) {
            Ok(account) if account.is_object() => {
                self.add_key(account["private_key"].as_str().unwrap_or_default());
            }
            _ => self.add(file.trim(), shortest),
        }
    }

    /// A key in PEM, every line of which is too much.
    fn add_key(&mut self, pem: &str) {
        let lines = pem.lines().filter(|line| !line.starts_with("-----"));
        lines.for_each(|line| self.add(line, 2 * BEGINNING));
    }

    fn add(&mut self, secret: &str, shortest: usize) {
        if secret.len() < shortest {
            return;
        }
        let bytes = secret.as_bytes();
        let mut forms = vec![bytes.to_vec(), percent(bytes).into_bytes()];
        if bytes.len() >= 2 * BEGINNING {
            forms.push(bytes[..BEGINNING].to_vec());
        }
        // In Base64 a text looks different at each of three places; what depends on its neighbours is left away.
        for skipped in 0..3.min(bytes.len() - 5) {
            let whole = &bytes[skipped..skipped + (bytes.len() - skipped) / 3 * 3];
            forms.push(STANDARD_NO_PAD.encode(whole).into_bytes());
            forms.push(URL_SAFE_NO_PAD.encode(whole).into_bytes());
        }
        forms.retain(|form| !self.0.contains(form));
        forms.sort();
        forms.dedup();
        self.0.append(&mut forms);
    }

    /// The first secret in a text: what it is, without saying all of it again.
    pub(crate) fn within(&self, text: &[u8]) -> Option<String> {
        let known = self.0.iter().find(|form| memmem::find(text, form).is_some());
        let known = known.map(|form| format!("{:.6}… of the configuration", String::from_utf8_lossy(form)));
        known.or_else(|| own_token(text))
    }

    /// Panics where any of them is in what a gateway has said, or in what it has kept.
    pub(crate) fn check(&self, log: &str, admin: Option<SocketAddr>, token: Option<&str>, home: &Home) {
        let mut places = vec![("the log".to_owned(), log.as_bytes().to_vec())];
        if let Some(address) = admin {
            let shown = SHOWN
                .iter()
                .filter_map(|path| Some(((*path).to_owned(), show(address, path, token)?)));
            places.extend(shown);
        }
        kept(&home.path("pointsman-data"), &mut places);
        for (place, text) in places {
            if let Some(secret) = self.within(&text) {
                let line = text
                    .split(|byte| *byte == b'\n')
                    .find(|line| self.within(line).is_some());
                let line = String::from_utf8_lossy(line.unwrap_or_default());
                panic!("a secret ({secret}) is in {place}: {line:.600}");
            }
        }
    }
}

/// A text of the form of a key for callers, or of a token for operators, whole.
fn own_token(text: &[u8]) -> Option<String> {
    const SECRET: usize = 49;
    for prefix in ["sk-pm-", "pm-admin-"] {
        for at in memmem::find_iter(text, prefix) {
            let rest = &text[at + prefix.len()..];
            let Some((id, secret)) = rest.split_at_checked(13) else {
                continue;
            };
            let is_secret = |secret: &[u8]| secret.iter().all(u8::is_ascii_alphanumeric);
            if id.ends_with(b"-") && secret.get(..SECRET).is_some_and(is_secret) {
                return Some(format!("{prefix}{}", String::from_utf8_lossy(id)));
            }
        }
    }
    None
}

/// A document of the admin listener, where it still answers in plain HTTP.
fn show(address: SocketAddr, path: &str, token: Option<&str>) -> Option<Vec<u8>> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let bearer = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{bearer}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Some(answer)
}

/// Every file below a folder.
fn kept(folder: &Path, places: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if OWN.iter().any(|own| entry.file_name() == *own) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => kept(&path, places),
            Ok(kind) if kind.is_file() => places.extend(fs::read(&path).map(|text| (path.display().to_string(), text))),
            _ => {}
        }
    }
}

fn percent(bytes: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded = bytes.iter().map(|byte| match is_plain(*byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_all_its_forms_and_what_is_none_is_not() {
        let home = Home::with_config(
            "[providers.p]\napi_keys = [\"can/ary+of=the test\"]\nheaders = { a = \"short\", b = \"${file:b}\" }\n",
        );
        home.write("b", "another canary\n");
        let mut secrets = Secrets::default();
        secrets.learn(&home);
        let canary = "can/ary+of=the test";
        let mut found = vec![
            canary.to_owned(),
            percent(canary.as_bytes()),
            "x another canary".to_owned(),
        ];
        for lead in ["", "a", "ab"] {
            found.push(STANDARD_NO_PAD.encode(format!("{lead}{canary}!")));
        }
        found.push(format!("key sk-pm-abcdefghijkl-{}", "Z".repeat(49)));
        found.push(format!("pm-admin-abcdefghijkl-{}\n", "9".repeat(49)));
        for text in &found {
            assert!(secrets.within(text.as_bytes()).is_some(), "{text}");
        }
        for text in ["short", "can/ary", "sk-pm-abcdefghijkl", "sk-pm-abcdefghijkl-tooshort"] {
            assert_eq!(secrets.within(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_a_gateway_has_kept_is_looked_through() {
        let home = Home::with_config("[providers.p]\napi_key = \"a canary in a file\"\n");
        let mut secrets = Secrets::default();
        secrets.learn(&home);
        secrets.check("a log", None, None, &home);
        home.write("pointsman-data/kept/file", "…a canary in a file…");
        let check = std::panic::catch_unwind(|| secrets.check("a log", None, None, &home));
        assert!(check.is_err());
    }
}
