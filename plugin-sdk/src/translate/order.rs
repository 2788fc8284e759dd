//! The results of tools in the order of their calls, however the client sent them: several providers match them by place.

use super::Turn;

/// A result of no call of its turn stays behind the others.
pub fn order_results(turns: &mut [Turn]) {
    let mut rest = turns;
    while let Some(at) = rest.iter().position(|turn| turn.role.0 == "assistant") {
        let (before, after) = rest.split_at_mut(at + 1);
        let count = after.iter().take_while(|turn| turn.role.0 == "tool").count();
        let calls = before.last().and_then(|turn| turn.tool_calls.as_deref());
        let place = |turn: &Turn| {
            let mut ids = calls.into_iter().flatten().map(|call| call.id.as_ref());
            ids.position(|id| id.is_some() && id == turn.tool_call_id.as_ref())
        };
        after[..count].sort_by_key(|turn| place(turn).unwrap_or(usize::MAX));
        rest = &mut after[count..];
    }
}

#[cfg(test)]
mod tests {
    use super::super::Chat;
    use super::*;

    #[test]
    fn results_follow_their_calls_and_strangers_come_last() {
        let call = |id: &str| format!(r#"{{"id":"{id}","function":{{"name":"look"}}}}"#);
        let result = |id: &str| format!(r#"{{"role":"tool","tool_call_id":"{id}"}}"#);
        let body = format!(
            r#"{{"messages":[{{"role":"assistant","tool_calls":[{},{}]}},{},{},{},{{"role":"user"}},{}]}}"#,
            call("a"),
            call("b"),
            result("x"),
            result("b"),
            result("a"),
            result("a"),
        );
        let mut chat = Chat::read(body.as_bytes()).unwrap();
        order_results(&mut chat.messages);
        let ids = chat.messages.iter().filter_map(|turn| turn.tool_call_id.as_ref());
        let ids: Vec<&str> = ids.map(|id| id.0.as_ref()).collect();
        assert_eq!(ids, ["a", "b", "x", "a"]);
    }
}
