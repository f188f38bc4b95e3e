//! Latent attention: queries, and keys and values together, out of narrow vectors, forwards and backwards.
//!
//! A head's query is (turning, plain) and its key likewise, the turning part first, so that the rotation takes the first features of a
//! head as everywhere; the turning part of keys is one for all heads. Values are as wide as queries, filled up with zeros: attention
//! itself then knows nothing of latent vectors. Source: DeepSeek-AI, "DeepSeek-V2" (2024), section 2.1.

use cruxscope_checkpoint::{LATENT_EPSILON, Latent};

use crate::ModelError;
use crate::decoder::{LayerNorms, LayerShape};
use crate::experts::{AtModule, Maps};
use crate::kernels::{ColumnRun, Kernels, RopeDirection};
use crate::module::{ModuleInput, TokenRows};
use crate::rotation::Tables;

/// A layer's latent attention.
pub struct LatentAttention<'a, K: Kernels> {
    /// The device.
    pub kernels: &'a K,
    /// The layer's shape.
    pub shape: &'a LayerShape,
    /// Its widths.
    pub latent: Latent,
    /// The layer's norms.
    pub norms: &'a LayerNorms<K>,
}

/// What the maps of a matrix of tokens are given and give, as far as a backward pass reads it.
pub struct LatentQueries<K: Kernels> {
    /// The narrow vector before its norm, where there is one.
    narrow: Option<K::Matrix>,
    /// Queries, turned, `[n, heads * (turning + plain)]`.
    pub queries: K::Matrix,
}

/// Takes inputs of linear maps.
pub type Observe<'a, M> = dyn FnMut(ModuleInput, &M) -> Result<(), ModelError> + 'a;

fn nothing() -> ModelError {
    ModelError::DeviceFailed {
        what: "latent attention".into(),
        why: "a map gave nothing".into(),
    }
}

fn run(part: usize, first: usize, count: usize) -> ColumnRun {
    ColumnRun {
        part: Some(part),
        first,
        count,
    }
}

impl<K: Kernels> LatentAttention<'_, K> {
    /// Features of a head's query and key.
    fn width(&self) -> usize {
        self.latent.turning + self.latent.plain
    }

    /// Position of the map to the narrow vector of keys and values.
    fn key_value_map(&self) -> usize {
        usize::from(self.latent.query_rank.is_some()) + 1
    }

    /// Queries as they come out of their map, (plain, turning), to (turning, plain).
    fn query_runs(&self) -> Vec<ColumnRun> {
        let (width, Latent { plain, turning, .. }) = (self.width(), self.latent);
        (0..self.shape.heads.queries)
            .flat_map(|head| [run(0, head * width + plain, turning), run(0, head * width, plain)])
            .collect()
    }

    /// Keys out of what turns (part 0) and what the map of keys and values gives (part 1).
    fn key_runs(&self) -> Vec<ColumnRun> {
        let Latent { plain, turning, value, .. } = self.latent;
        (0..self.shape.heads.queries)
            .flat_map(|head| [run(0, 0, turning), run(1, head * (plain + value), plain)])
            .collect()
    }

    /// Values out of what that map gives, filled up with zeros.
    fn value_runs(&self) -> Vec<ColumnRun> {
        let Latent { plain, value, .. } = self.latent;
        let rest = ColumnRun {
            part: None,
            first: 0,
            count: self.width() - value,
        };
        (0..self.shape.heads.queries)
            .flat_map(|head| [run(0, head * (plain + value) + plain, value), rest])
            .collect()
    }

    /// What attention gives, less what it was filled up with.
    fn output_runs(&self) -> Vec<ColumnRun> {
        (0..self.shape.heads.queries)
            .map(|head| run(0, head * self.width(), self.latent.value))
            .collect()
    }

    fn turn(&self, x: K::Matrix, width: usize, tables: Option<&Tables<K>>, direction: RopeDirection) -> K::Matrix {
        match tables {
            Some(Tables { cosine, sine }) => self.kernels.rotate(x, width, self.shape.block.rope_pairs, cosine, sine, direction),
            None => x,
        }
    }

    fn norm(&self, x: &K::Matrix, weight: Option<&K::Matrix>, width: usize) -> K::Matrix {
        weight.map_or_else(|| x.clone(), |weight| self.kernels.norm(x, weight, width, LATENT_EPSILON))
    }

    fn norm_backward(&self, x: &K::Matrix, weight: Option<&K::Matrix>, width: usize, gradient: &K::Matrix) -> K::Matrix {
        weight.map_or_else(
            || gradient.clone(),
            |weight| self.kernels.norm_backward(x, weight, width, LATENT_EPSILON, gradient),
        )
    }

    /// Queries of tokens, turned; `observe` is given what the second map reads.
    ///
    /// # Errors
    /// Whatever `observe` returns.
    pub fn queries(
        &self,
        x: &K::Matrix,
        tables: Option<&Tables<K>>,
        apply: &Maps<'_, K::Matrix>,
        observe: &mut Observe<'_, K::Matrix>,
    ) -> Result<LatentQueries<K>, ModelError> {
        let mut given = apply(&[0], x).pop().ok_or_else(nothing)?;
        let mut narrow = None;
        if let Some(rank) = self.latent.query_rank {
            let read = self.norm(&given, self.norms.query_latent.as_ref(), rank);
            observe(ModuleInput::QueryLatent, &read)?;
            narrow = Some(given);
            given = apply(&[1], &read).pop().ok_or_else(nothing)?;
        }
        let queries = self.kernels.arrange(&[&given], &self.query_runs());
        let queries = self.turn(queries, self.width(), tables, RopeDirection::Forward);
        Ok(LatentQueries { narrow, queries })
    }

    /// What the first map of keys and values gives, in its two parts: the narrow vector, and what turns.
    fn split(&self, given: &K::Matrix) -> (K::Matrix, K::Matrix) {
        let (rank, turning) = (self.latent.key_value_rank, self.latent.turning);
        (
            self.kernels.arrange(&[given], &[run(0, 0, rank)]),
            self.kernels.arrange(&[given], &[run(0, rank, turning)]),
        )
    }

    /// Keys, turned, and values of tokens, `[n, heads * (turning + plain)]` each; `observe` is given what the second map reads.
    ///
    /// # Errors
    /// Whatever `observe` returns.
    pub fn keys_values(
        &self,
        x: &K::Matrix,
        tables: Option<&Tables<K>>,
        apply: &Maps<'_, K::Matrix>,
        observe: &mut Observe<'_, K::Matrix>,
    ) -> Result<(K::Matrix, K::Matrix), ModelError> {
        let first = self.key_value_map();
        let given = apply(&[first], x).pop().ok_or_else(nothing)?;
        let (narrow, turning) = self.split(&given);
        let read = self.norm(&narrow, self.norms.key_value_latent.as_ref(), self.latent.key_value_rank);
        observe(ModuleInput::KeyValueLatent, &read)?;
        let both = apply(&[first + 1], &read).pop().ok_or_else(nothing)?;
        let turning = self.turn(turning, self.latent.turning, tables, RopeDirection::Forward);
        Ok((
            self.kernels.arrange(&[&turning, &both], &self.key_runs()),
            self.kernels.arrange(&[&both], &self.value_runs()),
        ))
    }

    /// What the last map reads, out of what attention gives.
    pub fn output(&self, attended: &K::Matrix) -> K::Matrix {
        self.kernels.arrange(&[attended], &self.output_runs())
    }

    /// Gradient of [`Self::output`] at what attention gives.
    pub fn output_backward(&self, gradient: &K::Matrix) -> Option<K::Matrix> {
        let width = self.shape.heads.queries * self.width();
        self.kernels.arrange_backward(gradient, &[width], &self.output_runs()).pop()
    }

    /// Gradient at what the maps read, given those at queries, keys and values; `observe` is given that at each map's output.
    ///
    /// # Errors
    /// Whatever `observe` returns.
    pub fn backward(
        &self,
        x: &K::Matrix,
        queries: &LatentQueries<K>,
        [dq, dk, dv]: [K::Matrix; 3],
        [of_queries, of_keys]: [Option<&Tables<K>>; 2],
        apply: &Maps<'_, K::Matrix>,
        back: &dyn Fn(usize, &K::Matrix) -> K::Matrix,
        observe: &mut AtModule<'_, K::Matrix>,
    ) -> Result<K::Matrix, ModelError> {
        let (kernels, all) = (self.kernels, TokenRows::From(0));
        let (heads, Latent { plain, value, turning, .. }) = (self.shape.heads.queries, self.latent);
        let dq = self.turn(dq, self.width(), of_queries, RopeDirection::Inverse);
        let mut at_queries = kernels.arrange_backward(&dq, &[heads * self.width()], &self.query_runs());
        let mut at_query = at_queries.pop().ok_or_else(nothing)?;
        if let (Some(rank), Some(narrow)) = (self.latent.query_rank, &queries.narrow) {
            observe(1, all, &at_query)?;
            at_query = self.norm_backward(narrow, self.norms.query_latent.as_ref(), rank, &back(1, &at_query));
        }
        observe(0, all, &at_query)?;
        let mut below = back(0, &at_query);

        let (first, both) = (self.key_value_map(), heads * (plain + value));
        let [at_turning, of_keys_at_both] =
            <[K::Matrix; 2]>::try_from(kernels.arrange_backward(&dk, &[turning, both], &self.key_runs())).map_err(|_| nothing())?;
        let of_values_at_both = kernels.arrange_backward(&dv, &[both], &self.value_runs()).pop().ok_or_else(nothing)?;
        let at_both = kernels.add(of_keys_at_both, &of_values_at_both);
        observe(first + 1, all, &at_both)?;
        let given = apply(&[first], x).pop().ok_or_else(nothing)?;
        let (narrow, _) = self.split(&given);
        let rank = self.latent.key_value_rank;
        let at_narrow = self.norm_backward(&narrow, self.norms.key_value_latent.as_ref(), rank, &back(first + 1, &at_both));
        let at_turning = self.turn(at_turning, turning, of_keys, RopeDirection::Inverse);
        let at_given = kernels.arrange(&[&at_narrow, &at_turning], &[run(0, 0, rank), run(1, 0, turning)]);
        observe(first, all, &at_given)?;
        below = kernels.add(back(first, &at_given), &below);
        Ok(below)
    }
}
