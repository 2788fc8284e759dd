//! Where images and files are: on the web, or in the URL itself.

use std::borrow::Cow;

/// `data:<media type>[;parameters];base64,<data>`, without a copy of the data.
#[derive(Debug, PartialEq, Eq)]
pub struct DataUrl<'a> {
    /// `image/png` say, without parameters.
    pub media_type: Cow<'a, str>,
    /// In base64.
    pub data: Cow<'a, str>,
}

impl<'a> DataUrl<'a> {
    /// `None` for any other URL.
    pub fn read(url: Cow<'a, str>) -> Option<Self> {
        match url {
            Cow::Borrowed(url) => split(url).map(|(kind, data)| DataUrl {
                media_type: kind.into(),
                data: data.into(),
            }),
            Cow::Owned(url) => split(&url).map(|(kind, data)| DataUrl {
                media_type: kind.to_owned().into(),
                data: data.to_owned().into(),
            }),
        }
    }
}

fn split(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let kind = head.strip_suffix(";base64")?;
    Some((kind.split(';').next().unwrap_or(kind), data))
}

/// Whether somebody would have to fetch it.
pub fn is_web(url: &str) -> bool {
    let scheme = |name: &str| {
        url.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    scheme("https://") || scheme("http://")
}

/// The registered name of an image's type that every provider takes; `image/jpg` is said by many, and registered by nobody.
pub fn image_type(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "image/png" => "image/png",
        "image/jpeg" | "image/jpg" => "image/jpeg",
        "image/gif" => "image/gif",
        "image/webp" => "image/webp",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_url_is_split_and_any_other_is_none() {
        let url = DataUrl::read("data:image/png;charset=x;base64,AAAA".into()).unwrap();
        assert_eq!((&*url.media_type, &*url.data), ("image/png", "AAAA"));
        for other in ["data:image/png,AAAA", "https://x/y.png", "data:", "AAAA"] {
            assert_eq!(DataUrl::read(other.into()), None, "{other}");
        }
        assert!(is_web("HTTPS://x") && !is_web("ftp://x") && !is_web("ä"));
    }
}
