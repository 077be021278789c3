//! DynamoDB with the product's tables.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use clipbell_aws::{AwsError, Connections, Jobs, Outcome, WebhookEvents};
use clipbell_job::Millis;
use clipbell_webhook::{Event, EventKind};
use dynoxide::Database;
use tokio::net::TcpListener;

use crate::{Template, delivery, sdk_config};

/// A DynamoDB of the test's own, with the tables that `template.yaml` defines, empty.
#[derive(Debug)]
pub struct Tables {
    /// Configuration for clients of it.
    pub sdk: SdkConfig,
    /// The jobs.
    pub jobs: Jobs,
    /// The connections.
    pub connections: Connections,
    /// The audit trail.
    pub events: WebhookEvents,
    /// For what the product itself never does.
    pub client: Client,
}

impl Tables {
    /// The jobs table's name.
    pub const JOBS: &str = "JobsTable";
    /// The connections table's name.
    pub const CONNECTIONS: &str = "ConnectionsTable";
    /// The webhook events table's name.
    pub const WEBHOOK_EVENTS: &str = "WebhookEventsTable";

    /// Starts it.
    pub async fn start() -> Self {
        let database = Database::memory().unwrap();
        let template = Template::read();
        for table in template.resources("AWS::DynamoDB::Table") {
            let request = serde_json::from_value(template.create_table(table)).unwrap();
            database.create_table(request).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sdk = sdk_config(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(dynoxide::server::serve_on(listener, database));
        Self {
            jobs: Jobs::new(&sdk, Self::JOBS.to_owned()),
            connections: Connections::new(&sdk, Self::CONNECTIONS.to_owned()),
            events: WebhookEvents::new(&sdk, Self::WEBHOOK_EVENTS.to_owned()),
            client: Client::new(&sdk),
            sdk,
        }
    }

    /// Stores a delivery of a webhook, as the function of that name does.
    pub async fn deliver(&self, webhook_id: &str, body: &str, now: Millis) -> Result<Option<Outcome>, AwsError> {
        let event = Event::parse(body.as_bytes()).unwrap();
        let is_ours = !matches!(event.kind, EventKind::Other(_));
        let outcome = if is_ours { Outcome::Received } else { Outcome::Ignored };
        self.events.store(&delivery::verified(webhook_id), &event, body, outcome, now).await
    }

    /// Removes a table: from now on every call to it fails.
    pub async fn drop_table(&self, table: &str) {
        self.client.delete_table().table_name(table).send().await.unwrap();
    }

    /// How many items a table holds.
    pub async fn count(&self, table: &str) -> usize {
        let mut pages = self.client.scan().table_name(table).into_paginator().send();
        let mut items = 0;
        while let Some(page) = pages.next().await {
            items += page.unwrap().items().len();
        }
        items
    }
}
