//! How a command fails, and the exit code that says so.

use cruxscope_run::RunError;
use cruxscope_study::StudyError;
use cruxscope_study::allocation::AllocationError;

/// Why a command ended before its time.
#[derive(Debug)]
pub enum Failure {
    /// The input or the command is wrong: exit code 2.
    Mistake(anyhow::Error),
    /// It failed, and may work another time: exit code 1.
    Failed(anyhow::Error),
    /// A scheduler should not try again: exit code 3.
    Hopeless(anyhow::Error),
    /// It was told to stop, and goes on when it is run again: exit code 75, as sysexits has it for "try later".
    Stopped(anyhow::Error),
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        if error.is_user_error() {
            Self::Mistake(error.into())
        } else {
            Self::Failed(error.into())
        }
    }
}

impl From<StudyError> for Failure {
    fn from(error: StudyError) -> Self {
        RunError::from(error).into()
    }
}

impl From<AllocationError> for Failure {
    fn from(error: AllocationError) -> Self {
        Self::Mistake(error.into())
    }
}

impl Failure {
    /// Everything it has to say, without the exit code.
    pub fn into_message(self) -> String {
        match self {
            Self::Mistake(error) | Self::Failed(error) | Self::Hopeless(error) | Self::Stopped(error) => chain(&error),
        }
    }

    /// The input or the command is wrong, in words.
    pub fn mistake(text: impl Into<String>) -> Self {
        Self::Mistake(anyhow::Error::msg(text.into()))
    }

    /// It failed, and may work another time.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(error.into())
    }
}

/// An error and its causes in one line. Some say their cause themselves; it is not said twice.
pub fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        _ if said.contains(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}
