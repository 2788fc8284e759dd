//! The request's content as a policy may read it. The pipeline implements this over the request that it parsed.

/// One request's content, read on demand. Each is called on a worker thread from inside a guest, as often as the guest
/// likes within its deadline: answer from memory and do not block.
pub trait Prompt: Send + Sync {
    /// The role of a message; none past the last.
    fn role(&self, index: u32) -> Option<String>;
    /// The text parts of a message, joined by line feeds; none past the last.
    fn text(&self, index: u32) -> Option<String>;
    /// The text of the last message whose role is `user`; empty where there is none.
    fn last_user_text(&self) -> String;
    /// The text of all `system` and `developer` messages, joined by line feeds.
    fn system_text(&self) -> String;
    /// All messages' text, joined by line feeds, cut at so many bytes on a character's edge.
    fn all_text(&self, at_most: u32) -> String;
    /// A request header, from the allow-list of the configuration; never a credential.
    fn header(&self, name: &str) -> Option<String>;
    /// An RFC 6901 pointer into the request's JSON; the answer is JSON text.
    fn get(&self, pointer: &str) -> Option<String>;
}
