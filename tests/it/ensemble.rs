//! The ensemble over real providers: all members at once, one answer of the judge's, streamed as any other, and what it
//! costs altogether.

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Answer, Ending, FakeProvider, Gate, Gateway};

/// Three members and a judge, each at a provider of its own.
struct Choir {
    members: [FakeProvider; 3],
    judge: FakeProvider,
    gateway: Gateway,
}

const MEMBERS: [&str; 3] = ["one", "two", "three"];

/// The members give these answers; the judge, that one.
async fn choir(members: [Answer; 3], judge: Answer, more: &str) -> Choir {
    let [one, two, three] = members;
    let members = [
        FakeProvider::chatting([one]).await,
        FakeProvider::chatting([two]).await,
        FakeProvider::chatting([three]).await,
    ];
    let judge = FakeProvider::chatting([judge]).await;
    let mut config: Vec<String> = MEMBERS
        .iter()
        .zip(&members)
        .map(|(name, at)| openai(name, &at.url()))
        .collect();
    config.push(openai("judge", &judge.url()));
    let together = format!(
        "judge = [\"judge/model\"]\nmembers = [{{ model = \"one/model\", set = {{ temperature = 1.5 }} }}, {{ model = \"two/model\" }}, {{ model = \"three/model\" }}]\ntimeout_ms = 5000\n{more}"
    );
    let grants = "grants = [\"models\"]\nmodels = [\"*\"]\n[policies.together.config]";
    config.push(policy("together", "ensemble", &together).replace("[policies.together.config]", grants));
    config.push(route(
        "auto",
        &["one", "two", "three", "judge"],
        "policies = [\"together\"]\nretries = 1",
    ));
    let gateway = Gateway::start(&config.concat()).await;
    Choir {
        members,
        judge,
        gateway,
    }
}

fn ask() -> Value {
    json!({
        "model": "auto", "response_format": { "type": "json_object" },
        "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "What is 6 times 7?" }],
    })
}

fn says(texts: [&str; 3]) -> [Answer; 3] {
    texts.map(Answer::chat)
}

/// The note behind the question.
fn note(request: &Value) -> String {
    let content = request["messages"][1]["content"].as_str().unwrap();
    content
        .strip_prefix("What is 6 times 7?\n\n---\n")
        .unwrap_or_else(|| panic!("{content}"))
        .to_owned()
}

#[tokio::test]
async fn the_judges_answer_is_streamed_as_it_comes_and_costs_what_all_cost() {
    let gate = Gate::shut();
    let streamed = Answer::chat_stream(["forty", "-two"]).held_after(1, &gate);
    let choir = choir(says(["42", "It is 42.", "41"]), streamed, "").await;
    let mut ask = ask();
    ask["stream"] = true.into();
    ask["stream_options"] = json!({ "include_usage": true });
    let mut stream = choir.gateway.data().chat_stream(&ask).await;
    assert_eq!(stream.header("x-pointsman-model"), Some("judge/model"));
    assert_eq!(
        stream.header("x-pointsman-reason"),
        Some("synthesis: 3 of 3 members answered for $0.00006")
    );
    // The first word is here while the judge still holds the second one back.
    assert_eq!(
        stream.next().await.unwrap().json()["choices"][0]["delta"]["content"],
        "forty"
    );
    gate.open();
    let (events, ending) = stream.rest().await;
    assert_eq!(ending, Ending::Whole);
    assert_eq!(events[0].json()["choices"][0]["delta"]["content"], "-two");
    let costs: Vec<Value> = events
        .iter()
        .filter(|event| event.data != "[DONE]")
        .map(|event| event.json()["usage"]["cost"].clone())
        .collect();
    assert_eq!(costs.last(), Some(&json!(0.00008)));

    let judged = choir.judge.only().json();
    assert_eq!(
        (&judged["stream"], &judged["response_format"]),
        (&json!(true), &ask["response_format"])
    );
    assert_eq!(judged["messages"][0], ask["messages"][0]);
    let note = note(&judged);
    let answers: Vec<String> = serde_json::from_str(note.lines().find(|line| line.starts_with('[')).unwrap()).unwrap();
    let mut sorted = answers.clone();
    sorted.sort();
    assert_eq!(sorted, ["41", "42", "It is 42."]);
    for (member, temperature) in choir.members.iter().zip([json!(1.5), Value::Null, Value::Null]) {
        let asked = member.only().json();
        assert_eq!(
            (&asked["messages"], &asked["temperature"]),
            (&ask["messages"], &temperature)
        );
        assert!(
            asked["stream"].is_null() && asked["stream_options"].is_null(),
            "{asked}"
        );
    }
}

#[tokio::test]
async fn all_members_are_asked_before_one_has_answered() {
    let gate = Gate::shut();
    let held = says(["1", "2", "3"]).map(|answer| answer.held(&gate));
    let choir = choir(held, Answer::chat("all"), "").await;
    let client = choir.gateway.data();
    let asking = tokio::spawn(async move { client.chat(&ask()).await });
    for member in &choir.members {
        member.until(|journal| journal.len() == 1).await;
    }
    assert!(choir.judge.journal().is_empty());
    MEMBERS.iter().for_each(|_| gate.open());
    let reply = asking.await.unwrap();
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "all");
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.00008"));
    assert_eq!(reply.header("x-pointsman-attempts"), Some("1"));
}

#[tokio::test]
async fn who_fails_or_hangs_is_left_out_and_too_few_are_no_ensemble() {
    let two = choir(
        [Answer::chat("42"), Answer::never(), Answer::chat("43")],
        Answer::chat("judged"),
        "",
    )
    .await;
    let reply = two.gateway.data().chat(&ask()).await;
    assert_eq!(
        reply.header("x-pointsman-reason"),
        Some("synthesis: 2 of 3 members answered for $0.00004")
    );
    assert!(note(&two.judge.only().json()).contains(" put to 2 assistants"));
    two.gateway
        .logged(&["`two/model` gave no answer: it was not in time"])
        .await;

    let one = choir(
        [Answer::chat("42"), Answer::never(), Answer::error(500, "oops")],
        Answer::chat("judged"),
        "",
    )
    .await;
    let reply = one.gateway.data().chat(&ask()).await;
    assert_eq!(reply.header("x-pointsman-model"), Some("judge/model"));
    assert_eq!(
        reply.header("x-pointsman-reason"),
        Some("plain: 1 of 3 members answered for $0.00002")
    );
    assert_eq!(one.judge.only().json()["messages"], ask()["messages"]);
}

#[tokio::test]
async fn a_judge_that_fails_leaves_the_answers_to_the_next() {
    let choir = choir(says(["1", "2", "3"]), Answer::error(500, "oops"), "").await;
    let reply = choir.gateway.data().chat(&ask()).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-model")),
        (200, Some("one/model"))
    );
    let asked: Vec<Value> = choir.members[0]
        .journal()
        .iter()
        .map(|received| received.json())
        .collect();
    assert_eq!(asked.len(), 2);
    assert!(note(&asked[1]).contains(" put to 3 assistants"));
}

#[tokio::test]
async fn what_most_members_come_to_is_given_by_the_scribe() {
    let vote = "mode = \"vote\"\ncompare = \"number\"\nscribe = [\"three/model\"]";
    let choir = choir(says(["42", "I get 42.", "41"]), Answer::chat("judged"), vote).await;
    let reply = choir.gateway.data().chat(&ask()).await;
    assert_eq!(reply.header("x-pointsman-model"), Some("three/model"));
    assert_eq!(
        reply.header("x-pointsman-reason"),
        Some("vote: 3 of 3 members answered for $0.00006, 2 agree")
    );
    let told = note(&choir.members[2].journal()[1].json());
    assert!(
        told.contains("of 3 assistants who were asked, each by itself, 2 came to the same"),
        "{told}"
    );
    assert!(choir.judge.journal().is_empty());
}

#[tokio::test]
async fn requests_with_tools_go_their_usual_way() {
    let choir = choir(says(["1", "2", "3"]), Answer::chat("judged"), "").await;
    let mut ask = ask();
    ask["tools"] = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    let reply = choir.gateway.data().chat(&ask).await;
    assert_eq!(reply.header("x-pointsman-model"), Some("one/model"));
    assert_eq!(reply.header("x-pointsman-reason"), Some("not for an ensemble"));
    assert_eq!(choir.members[0].only().json()["messages"], ask["messages"]);
}
