//! Credentials of clouds that are more than one key: `aws`, whose requests are signed, and `google`, whose service accounts exchange
//! a signed statement for tokens. Where the adapter says which of them it needs, the gateway does the rest.

use serde::Deserialize;

use super::reader::Section;
use super::{Context, Secret, interpolate};

/// `aws = { access_key_id, secret_access_key, session_token }`
#[derive(Debug, Clone, PartialEq)]
pub struct AwsKey {
    /// Who signs.
    pub access_key_id: Secret,
    /// What is signed with.
    pub secret_access_key: Secret,
    /// For a key that is borrowed.
    pub session_token: Option<Secret>,
}

/// `google = { service_account }`, as much of the file as counts.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceAccount {
    /// Who it is.
    pub client_email: String,
    /// Where its project is; part of a path.
    pub project_id: Option<String>,
    /// Which of its keys.
    pub private_key_id: Option<String>,
    /// In PEM.
    pub private_key: Secret,
    /// Where tokens are given out.
    pub token_uri: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: Option<String>,
    client_email: Option<String>,
    project_id: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
    token_uri: Option<String>,
}

/// A name that becomes a part of a host's or a path's: `region`, `project`.
pub(super) fn place(section: &Section<'_>, key: &'static str) -> Option<String> {
    let (name, span) = section.string(key)?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(is_plain) {
        let message = format!("`{key}` is `{name}`, but must be of small letters, digits and hyphens");
        section.note(span, message);
        return None;
    }
    Some(name)
}

pub(super) fn aws(section: &Section<'_>, context: &Context<'_>) -> Option<AwsKey> {
    let keys = section.section("aws");
    if !keys.is_present() {
        return None;
    }
    let text = |key| {
        let placed = keys.string(key)?;
        interpolate::interpolate(&keys, context.base, placed).map(Secret::new)
    };
    let key = (text("access_key_id"), text("secret_access_key"), text("session_token"));
    if keys.string("access_key_id").is_none() || keys.string("secret_access_key").is_none() {
        keys.note(keys.span(), "`aws` needs an `access_key_id` and a `secret_access_key`");
    }
    keys.finish();
    let (Some(access_key_id), Some(secret_access_key), session_token) = key else {
        return None;
    };
    Some(AwsKey {
        access_key_id,
        secret_access_key,
        session_token,
    })
}

/// The file's text is never repeated: it is a secret as a whole.
pub(super) fn google(section: &Section<'_>, context: &Context<'_>) -> Option<ServiceAccount> {
    let keys = section.section("google");
    if !keys.is_present() {
        return None;
    }
    let placed = keys.required_string("service_account");
    keys.finish_ref();
    let (text, span) = placed?;
    let text = interpolate::interpolate(&keys, context.base, (text, span.clone()))?;
    let refuse = |message: &str| keys.note(span.clone(), message);
    let Ok(file) = serde_json::from_str::<File>(&text) else {
        refuse(
            "`service_account` is not the JSON of a service account; give it as `${file:/run/secrets/account.json}`",
        );
        return None;
    };
    if file.kind.as_deref().is_some_and(|kind| kind != "service_account") {
        refuse("`service_account` is of another kind; only keys of service accounts are served");
        return None;
    }
    let (Some(client_email), Some(private_key), Some(token_uri)) =
        (file.client_email, file.private_key, file.token_uri)
    else {
        refuse("`service_account` needs `client_email`, `private_key` and `token_uri`");
        return None;
    };
    Some(ServiceAccount {
        client_email,
        project_id: file.project_id,
        private_key_id: file.private_key_id,
        private_key: Secret::new(private_key),
        token_uri,
    })
}
