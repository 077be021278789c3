//! The connections table: who is connected, and who watches which job.

use std::{collections::HashMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    types::{DeleteRequest, WriteRequest},
};
use clipbell_job::{JobId, Millis};

use crate::{
    AwsError,
    attribute::{Item, n, s},
    env::{self, EnvError},
};

const BY_CONNECTION: &str = "by-connection";

/// A little over the 2 hours that API Gateway lets a WebSocket live.
const KEPT_FOR: Duration = Duration::from_secs(135 * 60);

/// How many deletes DynamoDB takes in one `BatchWriteItem`.
const BATCH: usize = 25;

/// The connections table. Key: `jobId` and `connectionId`.
///
/// A subscription is an item under its job, so that a job's watchers are read consistently; the connection itself is
/// the item `connection#<id>`.
#[derive(Clone, Debug)]
pub struct Connections {
    client: Client,
    table: String,
}

/// A job's subscribers, a page at a time.
pub struct Subscribers<'a> {
    connections: &'a Connections,
    job_id: &'a JobId,
    from: Option<Item>,
    done: bool,
}

impl Connections {
    /// The table of this name.
    pub fn new(sdk: &SdkConfig, table: String) -> Self {
        Self { client: Client::new(sdk), table }
    }

    /// The table that `CONNECTIONS_TABLE` names.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, EnvError> {
        env::required("CONNECTIONS_TABLE").map(|table| Self::new(sdk, table))
    }

    /// Notes that a browser has connected.
    pub async fn connect(&self, connection_id: &str, now: Millis) -> Result<(), AwsError> {
        self.put(&connection_key(connection_id), connection_id, now).await
    }

    /// Makes the connection a watcher of the job; again is the same as once.
    pub async fn subscribe(&self, job_id: &JobId, connection_id: &str, now: Millis) -> Result<(), AwsError> {
        self.put(job_id.as_str(), connection_id, now).await
    }

    /// Ends one subscription; one that isn't there is no error.
    pub async fn unsubscribe(&self, job_id: &JobId, connection_id: &str) -> Result<(), AwsError> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key(job_id.as_str(), connection_id)))
            .send()
            .await
            .map(drop)
            .map_err(|error| AwsError::call("DeleteItem (connections)", error))
    }

    /// Forgets a connection and its subscriptions.
    ///
    /// The index lags: a subscription made in the last moment may stay. A post to it answers 410, which removes it.
    pub async fn disconnect(&self, connection_id: &str) -> Result<(), AwsError> {
        let own = key(&connection_key(connection_id), connection_id);
        let mut rows = vec![own.clone()];
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_CONNECTION)
            .key_condition_expression("connectionId = :id")
            .expression_attribute_values(":id", s(connection_id))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| AwsError::call("Query (connections)", error))?;
            rows.extend(page.items.unwrap_or_default().into_iter().filter(|row| *row != own));
        }
        for batch in rows.chunks(BATCH) {
            self.delete(batch).await?;
        }
        Ok(())
    }

    /// The job's subscribers; `next_page` reads them.
    pub fn subscribers<'a>(&'a self, job_id: &'a JobId) -> Subscribers<'a> {
        Subscribers { connections: self, job_id, from: None, done: false }
    }

    async fn put(&self, job_key: &str, connection_id: &str, now: Millis) -> Result<(), AwsError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key(job_key, connection_id)))
            .item("since", n(now.0))
            .item("ttl", n(now.plus(KEPT_FOR).unix_seconds()))
            .send()
            .await
            .map(drop)
            .map_err(|error| AwsError::call("PutItem (connections)", error))
    }

    async fn delete(&self, rows: &[Item]) -> Result<(), AwsError> {
        let call = "BatchWriteItem (connections)";
        let deletes = rows.iter().map(|row| {
            let delete = DeleteRequest::builder().set_key(Some(row.clone())).build();
            delete.map(|delete| WriteRequest::builder().delete_request(delete).build())
        });
        let mut left =
            deletes.collect::<Result<Vec<_>, _>>().map_err(|error| AwsError::Call { call, source: Box::new(error) })?;
        // DynamoDB may leave some undone when throttled; what is still there after a few rounds goes by its TTL.
        for _ in 0..5 {
            let answer = self
                .client
                .batch_write_item()
                .request_items(&self.table, left)
                .send()
                .await
                .map_err(|error| AwsError::call(call, error))?;
            left = answer.unprocessed_items.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default();
            if left.is_empty() {
                return Ok(());
            }
        }
        tracing::warn!(left = left.len(), "subscriptions of a closed connection are left to their TTL");
        Ok(())
    }
}

impl Subscribers<'_> {
    /// The next subscribers' connection ids, or none when all have been read.
    pub async fn next_page(&mut self) -> Result<Option<Vec<String>>, AwsError> {
        if self.done {
            return Ok(None);
        }
        let page = self
            .connections
            .client
            .query()
            .table_name(&self.connections.table)
            .key_condition_expression("jobId = :job")
            .expression_attribute_values(":job", s(self.job_id.as_str()))
            .consistent_read(true)
            .set_exclusive_start_key(self.from.take())
            .send()
            .await
            .map_err(|error| AwsError::call("Query (subscribers)", error))?;
        let ids = page.items().iter().filter_map(|row| row.get("connectionId")?.as_s().ok().cloned()).collect();
        self.done = page.last_evaluated_key.is_none();
        self.from = page.last_evaluated_key;
        Ok(Some(ids))
    }
}

fn key(job_key: &str, connection_id: &str) -> Item {
    HashMap::from([("jobId".to_owned(), s(job_key)), ("connectionId".to_owned(), s(connection_id))])
}

fn connection_key(connection_id: &str) -> String {
    format!("connection#{connection_id}")
}
