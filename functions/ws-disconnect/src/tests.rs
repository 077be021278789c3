use clipbell_job::JobId;
use clipbell_test_support::{NOON, Tables, event};

use super::*;

#[tokio::test]
async fn who_leaves_is_forgotten_and_nobody_else_is() {
    let tables = Tables::start().await;
    let app = App { connections: tables.connections.clone() };
    for connection in ["c1", "c2"] {
        tables.connections.connect(connection, NOON).await.unwrap();
        for _ in 0..2 {
            tables.connections.subscribe(&JobId::random(), connection, NOON).await.unwrap();
        }
    }
    // API Gateway may say it twice.
    for _ in 0..2 {
        let answer = handle(&app, event::web_socket("$disconnect", "c1", None)).await.unwrap();
        assert_eq!(answer, json!({"statusCode": 200}));
        assert_eq!(tables.count(Tables::CONNECTIONS).await, 3, "c2 and its two subscriptions");
    }
}
