//! The one place where backends have names.

use std::fmt;
use std::str::FromStr;

use burn::tensor::backend::{AutodiffBackend, BackendTypes};

/// A backend that can be asked for by name; which ones are there depends on the Cargo features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendKind {
    /// Burn's portable CPU backend, the fastest here: feature `flex`.
    #[cfg(feature = "flex")]
    Flex,
    /// The CPU backend on the `ndarray` crate: feature `ndarray`.
    #[cfg(feature = "ndarray")]
    Ndarray,
    /// Vulkan, Metal, DirectX 12 or WebGPU: feature `wgpu`.
    #[cfg(feature = "wgpu")]
    Wgpu,
    /// NVIDIA GPUs: feature `cuda`.
    #[cfg(feature = "cuda")]
    Cuda,
}

/// Every backend of this build with its name, the default first.
const BACKENDS: &[(&str, BackendKind)] = &[
    #[cfg(feature = "flex")]
    ("flex", BackendKind::Flex),
    #[cfg(feature = "ndarray")]
    ("ndarray", BackendKind::Ndarray),
    #[cfg(feature = "wgpu")]
    ("wgpu", BackendKind::Wgpu),
    #[cfg(feature = "cuda")]
    ("cuda", BackendKind::Cuda),
];

/// The names of all backends, of this build or not.
const KNOWN: [&str; 4] = ["flex", "ndarray", "wgpu", "cuda"];

/// A backend name that this build cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// A backend of Brew that was not compiled in.
    #[error("backend `{name}` is not in this build (it has: {}); build with `--features {name}`", names().join(", "))]
    NotCompiled {
        /// The name asked for.
        name: String,
    },
    /// No backend of Brew.
    #[error("unknown backend `{name}`; this build has: {}", names().join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
    },
}

/// The names of the backends in this build, the default first.
pub fn names() -> Vec<&'static str> {
    BACKENDS.iter().map(|(name, _)| *name).collect()
}

impl BackendKind {
    /// The default backend of this build, if it has any.
    pub fn first() -> Option<Self> {
        BACKENDS.first().map(|(_, kind)| *kind)
    }

    /// The name by which it is asked for.
    pub fn name(self) -> &'static str {
        BACKENDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BackendKind {
    type Err = BackendError;

    fn from_str(name: &str) -> Result<Self, BackendError> {
        if let Some((_, kind)) = BACKENDS.iter().find(|(known, _)| *known == name) {
            return Ok(*kind);
        }
        let name = name.to_owned();
        if KNOWN.contains(&name.as_str()) {
            Err(BackendError::NotCompiled { name })
        } else {
            Err(BackendError::Unknown { name })
        }
    }
}

/// Work that can be done on any backend; [`dispatch`] picks one at run time.
pub trait BackendJob {
    /// What comes out.
    type Output;

    /// Does the work on the backend `B`.
    fn run<B: AutodiffBackend>(self, device: <B as BackendTypes>::Device) -> Self::Output;
}

/// Runs a job on the default device of a backend.
pub fn dispatch<J: BackendJob>(kind: BackendKind, job: J) -> J::Output {
    match kind {
        #[cfg(feature = "flex")]
        BackendKind::Flex => job.run::<burn::backend::Autodiff<burn_flex::Flex>>(Default::default()),
        #[cfg(feature = "ndarray")]
        BackendKind::Ndarray => {
            job.run::<burn::backend::Autodiff<burn_ndarray::NdArray<f32>>>(Default::default())
        }
        #[cfg(feature = "wgpu")]
        BackendKind::Wgpu => {
            job.run::<burn::backend::Autodiff<burn_wgpu::Wgpu<f32, i32>>>(Default::default())
        }
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => {
            job.run::<burn::backend::Autodiff<burn_cuda::Cuda<f32, i32>>>(Default::default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (name, kind) in BACKENDS {
            assert_eq!(name.parse::<BackendKind>().unwrap(), *kind);
            assert_eq!(kind.to_string(), *name);
        }
    }

    #[test]
    fn unknown_and_missing_backends_are_told_apart() {
        assert!(matches!("cpu".parse::<BackendKind>(), Err(BackendError::Unknown { .. })));
        #[cfg(not(feature = "cuda"))]
        {
            let error = "cuda".parse::<BackendKind>().unwrap_err();
            assert!(error.to_string().contains("--features cuda"), "{error}");
        }
    }
}
