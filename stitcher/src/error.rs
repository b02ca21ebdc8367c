//! Why an output cannot be made. Decides once whether trying again can help.

use std::path::PathBuf;

use vtp_engine::units::ChunkIndex;

use crate::{boxes, cut, extras, proof, seal, transport};

/// Why an output cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The layout cannot be carried out.
    #[error("layout: {0}")]
    Layout(String),
    /// What is asked for besides the ladder can't be had with it.
    #[error(transparent)]
    Refused(#[from] extras::Refusal),
    /// A chunk is not among the planned ones.
    #[error("chunk {} is not in the plan", .0.0)]
    UnknownChunk(ChunkIndex),
    /// A chunk does not bring exactly the renditions of the layout.
    #[error("chunk {} brings the renditions {got:?}, due are {due:?}", chunk.0)]
    Renditions {
        /// The chunk.
        chunk: ChunkIndex,
        /// What it brings.
        got: Vec<String>,
        /// What the layout has.
        due: Vec<String>,
    },
    /// The samples of a chunk are not its planned frames.
    #[error("chunk {}, rendition {rendition}: {source}", chunk.0)]
    Cut {
        /// The chunk.
        chunk: ChunkIndex,
        /// The rendition.
        rendition: String,
        /// What is wrong.
        source: cut::Error,
    },
    /// Two chunks of a rendition cannot be decoded with one initialization segment.
    #[error("chunk {}, rendition {rendition}: its decoder configuration differs from that of the first chunk", chunk.0)]
    Config {
        /// The chunk.
        chunk: ChunkIndex,
        /// The rendition.
        rendition: String,
    },
    /// A track can't be sealed.
    #[error("sealing {name}: {source}")]
    Seal {
        /// The rendition or audio track.
        name: String,
        /// What is in the way.
        source: seal::Error,
    },
    /// A track can't be wrapped in a transport stream.
    #[error("{name} as a transport stream: {source}")]
    Transport {
        /// The rendition or audio track.
        name: String,
        /// What is in the way.
        source: transport::Error,
    },
    /// Boxes could not be made.
    #[error("{name}: {source}")]
    Boxes {
        /// The rendition or audio track.
        name: String,
        /// What is wrong.
        source: boxes::Error,
    },
    /// The pictures that a chunk brings are not those of the frames that were planned.
    #[error("chunk {}: its {name} are not pictures of the planned frames", chunk.0)]
    Pictures {
        /// The chunk.
        chunk: ChunkIndex,
        /// Thumbnails or poster.
        name: String,
    },
    /// Thumbnails are missing in the end.
    #[error("{got} of {due} thumbnails came")]
    MissingPictures {
        /// Thumbnails there are.
        got: usize,
        /// Thumbnails planned.
        due: usize,
    },
    /// A picture could not be written as JPEG.
    #[error("JPEG: {0}")]
    Jpeg(String),
    /// Finishing was asked for too early.
    #[error("chunk {} has not arrived", .0.0)]
    MissingChunk(ChunkIndex),
    /// The audio tracks handed back are not those of the layout, in its order.
    #[error("audio tracks {got:?} were finished, due are {due:?}")]
    MissingAudio {
        /// Tracks handed back.
        got: Vec<usize>,
        /// Tracks of the layout.
        due: Vec<usize>,
    },
    /// What was written is not what the source has; nothing was published.
    #[error("the output does not conserve the source: {0}")]
    NotProved(#[from] proof::Violation),
    /// It was not wanted any more.
    #[error("cancelled")]
    Cancelled,
    /// The MPD could not be written as XML.
    #[error("the MPD cannot be written as XML")]
    Xml,
}

impl Error {
    /// Whether the same call may succeed later: only what the system refused can change by itself.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}
