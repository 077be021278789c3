//! What can go wrong on the AWS side. All of it is ours to mend; none of it is the caller's fault.

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

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
    pub(crate) fn call<E>(call: &'static str, error: SdkError<E>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        // What AWS answered, without the answer itself: its body may hold a row, and a row a prompt.
        let source = match &error {
            SdkError::ServiceError(_) => {
                let [code, message] = [error.code(), error.message()].map(Option::unwrap_or_default);
                format!("{code}: {message} (request {})", error.request_id().unwrap_or("unknown")).into()
            }
            _ => error.into(),
        };
        Self::Call { call, source }
    }

    pub(crate) fn malformed(table: &'static str) -> impl FnOnce(serde_dynamo::Error) -> Self {
        move |error| Self::MalformedRow { table, source: Box::new(error) }
    }
}
