//! What an operator decides about names: who may have one, and who may keep it.

use std::path::Path;

use ahoy_server::{Accounts, Registration};
use serde_json::json;

use crate::harness::*;
use crate::program::command;

/// What `ahoy-server accounts` prints, and whether it could do it.
fn accounts(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let out = command(&["accounts"]).args(arguments).arg("--data-dir").arg(folder).output().unwrap();
    let said = if out.status.success() { out.stdout } else { out.stderr };
    (out.status.success(), String::from_utf8(said).unwrap())
}

async fn closed_for_good(client: &mut Client, server: &Server, name: &str) {
    assert_eq!(client.closed().await, 1008);
    assert_eq!(server.connect().await.login(name, 1).await["code"], "username_taken", "it does not get it back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_unbound_or_renamed_by_the_operator_is_so_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::with(|config| config.accounts = Accounts::open(folder.path()).unwrap()).await;
    let mut alice = server.enter("alice", 1).await;
    let mut bob = server.enter("bob", 1).await;
    let mut carol = server.enter("carol", 1).await;
    let (is_good, list) = accounts(folder.path(), &["list"]);
    assert!(is_good && list.lines().count() == 3 && list.starts_with("alice\t20"), "{list}");
    assert!(list.contains(&key_of("bob").public().to_string()), "{list}");

    assert!(accounts(folder.path(), &["unbind", "alice"]).0);
    closed_for_good(&mut alice, &server, "alice").await;
    let mut other = server.connect().await;
    let login = other.login_as("alice", 1, &key_of("another"));
    assert_eq!(other.ask(login).await["type"], "welcome", "free for another key");

    assert!(accounts(folder.path(), &["rename", "bob", "robert"]).0);
    closed_for_good(&mut bob, &server, "bob").await;
    let mut robert = server.connect().await;
    let login = robert.login_as("robert", 1, &key_of("bob"));
    assert_eq!(robert.ask(login).await["type"], "welcome");
    carol.nothing_came().await;

    for (arguments, why) in [
        (&["unbind", "nobody"][..], "nobody here is called nobody"),
        (&["rename", "carol", "alice"], "taken"),
        (&["rename", "carol", "guest-c"], "guest"),
    ] {
        let (is_good, said) = accounts(folder.path(), arguments);
        assert!(!is_good && said.contains(why), "{said}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(!accounts(empty.path(), &["list"]).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn invited_names_only() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Accounts::open(folder.path()).unwrap();
    let server = Server::with(|config| config.accounts = open()).await;
    server.enter("alice", 1).await;
    server.stop().await;

    let server = Server::with(|config| {
        (config.accounts, config.registration) = (open(), Registration::Invite);
    })
    .await;
    let (_, code) = accounts(folder.path(), &["invite", "--uses", "1"]);
    let code = code.trim();
    assert!(code.len() >= 22, "{code}");
    server.enter("alice", 1).await;
    server.enter("guest-x", 1).await;
    let mut bob = server.connect().await;
    let mut login = bob.login_as("bob", 1, &key_of("bob"));
    assert_eq!(bob.refused(login.clone()).await, "registration_closed");
    login["invite"] = json!("guessed");
    assert_eq!(bob.refused(login.clone()).await, "registration_closed");
    login["invite"] = json!(code);
    assert_eq!(bob.ask(login).await["type"], "welcome");
    server.enter("bob", 2).await;
    let mut carol = server.connect().await;
    let mut login = carol.login_as("carol", 1, &key_of("carol"));
    login["invite"] = json!(code);
    assert_eq!(carol.refused(login).await, "registration_closed", "used up");
    server.stop().await;

    let server = Server::with(|config| {
        (config.accounts, config.registration) = (open(), Registration::Closed);
    })
    .await;
    let (_, code) = accounts(folder.path(), &["invite"]);
    server.enter("bob", 1).await;
    let mut carol = server.connect().await;
    let mut login = carol.login_as("carol", 1, &key_of("carol"));
    login["invite"] = json!(code.trim());
    assert_eq!(carol.refused(login).await, "registration_closed");
}
