//! A provider that does as it is told.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use clipbell_job::JobError;
use clipbell_provider::{CancelError, Content, ReadError, Submission, SubmitError, Variant, Video, VideoState};

use super::*;

/// What comes of a submission.
#[derive(Clone, Copy, Debug)]
pub(super) enum Submitted {
    /// It is taken under this id.
    Taken(&'static str),
    /// It is taken under this id, and the answer is lost.
    TakenUnheard(&'static str),
    /// It is not taken, and the outcome is not heard either.
    LostUnheard,
    /// It is not taken; to be tried again after so many seconds.
    NotTaken(Option<u64>),
    /// It is refused.
    Refused,
}

/// What comes of reading a video.
#[derive(Clone, Debug)]
pub(super) enum Read {
    State(VideoState),
    NotFound,
    Unavailable(Option<u64>),
}

#[derive(Debug, Default)]
pub(super) struct Studio {
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    plan: VecDeque<Submitted>,
    prompts: Vec<String>,
    list: Vec<Video>,
    reads: HashMap<String, Read>,
    told_to_stop: Vec<String>,
    goes_on: bool,
    asked: usize,
}

impl Studio {
    /// What comes of the submissions, one after the other. One more is more than the test allows.
    pub(super) fn plans(submissions: &[Submitted]) -> Self {
        let inside = Inside { plan: submissions.iter().copied().collect(), ..Inside::default() };
        Self { inside: Mutex::new(inside) }
    }

    /// A provider that gives `read` for every read of this video, and takes no submission.
    pub(super) fn with(video_id: &str, read: Read) -> Self {
        let studio = Self::default();
        studio.set(video_id, read);
        studio
    }

    pub(super) fn set(&self, video_id: &str, read: Read) {
        self.inside.lock().unwrap().reads.insert(video_id.to_owned(), read);
    }

    /// Puts a video on the list that a job made as [`sample`] does would be, created so many seconds after noon.
    pub(super) fn lists(&self, video_id: &str, seconds_after_noon: i64) {
        let video = video(video_id, seconds_after_noon);
        self.inside.lock().unwrap().list.push(video);
    }

    /// The prompts that were submitted.
    pub(super) fn prompts(&self) -> Vec<String> {
        self.inside.lock().unwrap().prompts.clone()
    }

    /// From now on it stops nothing that it has begun.
    pub(super) fn goes_on(&self) {
        self.inside.lock().unwrap().goes_on = true;
    }

    /// The videos that it was told to stop.
    pub(super) fn told_to_stop(&self) -> Vec<String> {
        self.inside.lock().unwrap().told_to_stop.clone()
    }

    /// How often it was asked for anything.
    pub(super) fn asked(&self) -> usize {
        self.inside.lock().unwrap().asked
    }
}

fn video(id: &str, seconds_after_noon: i64) -> Video {
    Video {
        id: id.to_owned(),
        state: VideoState::Queued,
        created_at: Some(NOON.unix_seconds() + seconds_after_noon),
        prompt: Some("A bell in the morning".to_owned()),
        model: Some("sora-2".to_owned()),
        seconds: Some("8".to_owned()),
        size: Some("1280x720".to_owned()),
    }
}

impl Provider for Studio {
    async fn submit(&self, submission: &Submission<'_>) -> Result<Video, SubmitError> {
        let planned = {
            let mut inside = self.inside.lock().unwrap();
            inside.asked += 1;
            inside.prompts.push(submission.prompt.to_owned());
            inside.plan.pop_front().expect("no more submissions than the test allows")
        };
        match planned {
            Submitted::Taken(id) => Ok(video(id, 0)),
            Submitted::TakenUnheard(id) => {
                self.lists(id, 0);
                Err(SubmitError::Unknown("the connection was reset".into()))
            }
            Submitted::LostUnheard => Err(SubmitError::Unknown("the connection was reset".into())),
            Submitted::NotTaken(seconds) => {
                let retry_after = seconds.map(Duration::from_secs);
                Err(SubmitError::NotTaken { retry_after, source: "it answered 429".into() })
            }
            Submitted::Refused => Err(SubmitError::Refused(JobError::new("content_rejected", "Not this.", false))),
        }
    }

    async fn video(&self, id: &str) -> Result<Video, ReadError> {
        let mut inside = self.inside.lock().unwrap();
        inside.asked += 1;
        match inside.reads.get(id).cloned().unwrap_or(Read::NotFound) {
            Read::State(state) => Ok(Video { state, ..video(id, 0) }),
            Read::NotFound => Err(ReadError::NotFound),
            Read::Unavailable(seconds) => {
                let retry_after = seconds.map(Duration::from_secs);
                Err(ReadError::Unavailable { retry_after, source: "it answered 500".into() })
            }
        }
    }

    async fn videos_since(&self, since: i64) -> Result<Vec<Video>, ReadError> {
        let mut inside = self.inside.lock().unwrap();
        inside.asked += 1;
        let videos = inside.list.iter().filter(|video| video.created_at.is_some_and(|at| at >= since));
        Ok(videos.cloned().collect())
    }

    async fn content(&self, _: &str, _: Variant) -> Result<Content, ReadError> {
        self.inside.lock().unwrap().asked += 1;
        Err(ReadError::NotFound)
    }

    async fn cancel(&self, id: &str) -> Result<(), CancelError> {
        let mut inside = self.inside.lock().unwrap();
        inside.asked += 1;
        inside.told_to_stop.push(id.to_owned());
        if inside.goes_on {
            return Err(CancelError("it answered 409".into()));
        }
        inside.reads.insert(id.to_owned(), Read::NotFound);
        Ok(())
    }
}
