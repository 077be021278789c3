//! What can go wrong on the AWS side. All of it is ours to mend; none of it is the caller's fault.

use aws_sdk_dynamodb::error::{DisplayErrorContext, SdkError};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A call to AWS failed, or a row was not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The call failed after the SDK's own retries; trying again later may help.
    #[error("{call} failed")]
    Call {
        /// The call and what it was for: `PutItem (jobs)`.
        call: &'static str,
        /// The SDK's error.
        source: Cause,
    },
    /// A row could not be read as what it should be.
    #[error("a row of {table} can't be read")]
    MalformedRow {
        /// The table.
        table: &'static str,
        /// What was wrong.
        source: Cause,
    },
}

impl AwsError {
    pub(crate) fn call<E, R>(call: &'static str, error: SdkError<E, R>) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        // SdkError's own Display says just "service error": the context holds the code and the message.
        Self::Call { call, source: DisplayErrorContext(error).to_string().into() }
    }

    pub(crate) fn malformed(table: &'static str) -> impl FnOnce(serde_dynamo::Error) -> Self {
        move |error| Self::MalformedRow { table, source: Box::new(error) }
    }
}
