use clipbell_test_support::{HandClock, Tables, event};

use super::*;

#[tokio::test]
async fn a_connection_is_accepted_once_it_is_noted() {
    let tables = Tables::start().await;
    let app = App { connections: tables.connections.clone(), clock: HandClock::at_noon().clock() };
    let answer = handle(&app, event::web_socket("$connect", "c1", None)).await.unwrap();
    assert_eq!(answer, json!({"statusCode": 200}));
    assert_eq!(tables.count(Tables::CONNECTIONS).await, 1);
}

#[tokio::test]
async fn a_connection_that_can_t_be_noted_is_refused() {
    let tables = Tables::start().await;
    tables.drop_table(Tables::CONNECTIONS).await;
    let app = App { connections: tables.connections.clone(), clock: HandClock::at_noon().clock() };
    assert!(handle(&app, event::web_socket("$connect", "c1", None)).await.is_err());
}
