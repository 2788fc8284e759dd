//! A log that nobody reads any more holds no request up, and nothing that is booked.

use tests::config::openai;
use tests::{Answer, FakeProvider, Gateway, Home};

use super::{ANSWER, ask, stopped};

/// Its standard error is a pipe that is open and never read.
async fn with_a_full_log(config: &str) -> Gateway {
    let home = Home::with_config(config);
    let serve = home.command(&["serve", "--config", "pointsman.toml"]);
    let script = "mkfifo log && exec 9<>log && exec \"$0\" \"$@\" 2>&9";
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", script])
        .arg(serve.get_program())
        .args(serve.get_args());
    command.current_dir(home.path(".")).env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    Gateway::start_with(home, command).await
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up_and_what_is_lost_is_counted() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let config = openai("p1", &provider.url()) + "\n[server]\naccess_log = true\n";
    let gateway = with_a_full_log(&config).await;
    let client = gateway.data();
    // Each leaves a long line in the log, so that pipe and queue are full long before the end.
    let path = format!("/{}", "x".repeat(4_000));
    for _ in 0..1_200 {
        assert_eq!(client.get(&path).await.status, 404);
    }
    assert!(gateway.metric("pointsman_log_lines_lost_total").await > 0.0);
    for _ in 0..10 {
        assert_eq!(client.chat(&ask("p1/model", false)).await.status, 200);
    }
    let lines = stopped(gateway, 10).await;
    assert!(lines.iter().all(|line| line.cost.unwrap().0 == ANSWER), "{lines:#?}");
    assert_eq!(lines.len(), provider.journal().len());
}
