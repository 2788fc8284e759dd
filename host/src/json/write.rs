//! JSON that is put together piece by piece: what was read before keeps its spelling, and commas come by themselves.

use super::Value;

/// A text under way. Whoever opens an object or an array closes it.
#[derive(Debug, Default)]
pub struct Writer {
    text: Vec<u8>,
    /// Whether a comma stands before what comes next.
    is_followed: bool,
}

impl Writer {
    /// With room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            is_followed: false,
        }
    }

    /// `{` or `[`.
    pub fn open(&mut self, bracket: char) {
        self.comma();
        self.text.push(bracket as u8);
        self.is_followed = false;
    }

    /// `}` or `]`.
    pub fn close(&mut self, bracket: char) {
        self.text.push(bracket as u8);
        self.is_followed = true;
    }

    /// A member's name, which needs no escapes. Its value comes next.
    pub fn key(&mut self, name: &str) {
        self.comma();
        self.text.push(b'"');
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
        self.is_followed = false;
    }

    /// After a member's name that was written as a text.
    pub fn colon(&mut self) {
        self.text.push(b':');
        self.is_followed = false;
    }

    /// JSON as it is.
    pub fn raw(&mut self, json: &str) {
        self.comma();
        self.text.extend_from_slice(json.as_bytes());
        self.is_followed = true;
    }

    /// A text, escaped where it has to be.
    pub fn string(&mut self, text: &str) {
        self.comma();
        // Writing a text into memory cannot fail.
        let _ = serde_json::to_writer(&mut self.text, text);
        self.is_followed = true;
    }

    /// A member whose value is JSON as it is.
    pub fn member(&mut self, name: &str, json: &str) {
        self.key(name);
        self.raw(json);
    }

    /// A member whose value is a text.
    pub fn text(&mut self, name: &str, text: &str) {
        self.key(name);
        self.string(text);
    }

    /// A member whose value is a number.
    pub fn number(&mut self, name: &str, number: u64) {
        self.member(name, &number.to_string());
    }

    /// A member that an object has, under a name of its own; nothing where it is not there, or `null`.
    pub fn take(&mut self, name: &str, object: Value<'_>, member: &str) {
        if let Some(value) = object.field(member) {
            self.member(name, value.raw());
        }
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.text
    }

    fn comma(&mut self) {
        if self.is_followed {
            self.text.push(b',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_one_text() {
        let mut to = Writer::default();
        to.open('{');
        to.text("a", "\"\n");
        to.key("b");
        to.open('[');
        to.raw("1.0");
        to.open('{');
        to.close('}');
        to.string("c");
        to.close(']');
        to.number("d", 7);
        to.close('}');
        assert_eq!(
            String::from_utf8(to.finish()).unwrap(),
            r#"{"a":"\"\n","b":[1.0,{},"c"],"d":7}"#
        );
    }
}
