//! The file that a policy's configuration names in `config.file`: what it holds goes to the policy as `source`.

use super::files::{Content, Contents};
use crate::config::{PolicyConfig, PolicyFile};
use crate::plugins::Digest;

/// What the file holds.
pub(super) struct Text<'a> {
    text: &'a str,
    pub(super) digest: Digest,
}

/// A file that cannot be used.
pub(super) struct Unusable {
    pub(super) digest: Option<Digest>,
    pub(super) reason: String,
}

/// The policy's file, if its configuration names one.
pub(super) fn read<'a>(config: &PolicyConfig, contents: &'a Contents) -> Result<Option<Text<'a>>, Unusable> {
    let Some(file) = &config.file else {
        return Ok(None);
    };
    let path = file.path.display();
    let unusable = |digest, reason: String| Unusable {
        digest,
        reason: format!("{}: `file`: {reason}", file.place),
    };
    let too_large = |size: u64, digest| {
        let limit = PolicyFile::MOST_BYTES;
        unusable(Some(digest), format!("{path} has {size} bytes; {limit} is the most"))
    };
    match contents.get(&file.path) {
        Some(Content::Bytes { bytes, digest }) => {
            if bytes.len() as u64 > PolicyFile::MOST_BYTES {
                return Err(too_large(bytes.len() as u64, *digest));
            }
            let text = std::str::from_utf8(bytes).map_err(|error| {
                let place = error.valid_up_to() + 1;
                unusable(Some(*digest), format!("{path} is not UTF-8 from its byte {place} on"))
            })?;
            Ok(Some(Text { text, digest: *digest }))
        }
        Some(Content::TooLarge { size, digest, .. }) => Err(too_large(*size, *digest)),
        Some(Content::Unreadable(reason)) => Err(unusable(None, reason.clone())),
        None => Err(unusable(None, format!("{path} was not read"))),
    }
}

/// The policy's configuration as it is handed over.
pub(super) fn handed_over(config: &PolicyConfig, file: Option<&Text<'_>>) -> String {
    let mut json = config.config.clone();
    if let (Some(file), Some(json)) = (file, json.as_object_mut()) {
        json.insert("source".to_owned(), file.text.into());
    }
    json.to_string()
}
