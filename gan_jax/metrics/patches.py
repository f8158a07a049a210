r"""Coates' single-layer features: k-means on whitened patches, the classic baseline without a deep network.

Source: Coates, Lee and Ng 2011, An analysis of single-layer networks in unsupervised feature learning,
https://proceedings.mlr.press/v15/coates11a.html, sections 3.1 to 3.3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.seeds import check_seed


class KMeansFeatures(NamedTuple):
  """What `fit_kmeans_features` learns.

  Attributes:
    mean: (d,) of normalised patches, d = patch * patch * channels.
    whitening: (d, d) ZCA, symmetric.
    centroids: (K, d), in whitened space.
  """

  mean: jax.Array
  whitening: jax.Array
  centroids: jax.Array


def normalised(patches: jax.Array) -> jax.Array:
  """Every patch less its mean, over the root of its variance plus 10: brightness and contrast.

  Source: Coates et al. 2011, section 3.1.1, with the 10 of pixels 0 to 255.

  Args:
    patches: (..., d) in pixel values 0 to 255.

  >>> normalised(jnp.array([[7.0, 7.0]])).tolist()
  [[0.0, 0.0]]
  """
  centred = patches - patches.mean(-1, keepdims=True)
  return centred / jnp.sqrt(jnp.var(patches, -1, keepdims=True) + 10.0)


def whitening(patches: np.ndarray, epsilon: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
  r"""The mean and the ZCA whitening $V (D + \epsilon)^{-1/2} V^T$ of patches, in float64.

  Source: Coates et al. 2011, section 3.1.2.

  Args:
    patches: (N, d).
    epsilon: added to the eigenvalues of the covariance.

  Returns:
    ((d,), (d, d)).
  """
  patches = np.asarray(patches, np.float64)
  values, vectors = np.linalg.eigh(np.cov(patches, rowvar=False))
  return patches.mean(0), (vectors / np.sqrt(values + epsilon)) @ vectors.T


def fit_kmeans_features(
  images: np.ndarray,
  *,
  centroids: int = 1200,
  patch: int = 6,
  patches: int = 200_000,
  epsilon: float = 0.1,
  seed: int = 0,
) -> KMeansFeatures:
  """Whitening and centroids from random patches of pictures.

  differs: the paper runs k-means to its end; here it is scikit-learn's in mini-batches.

  Args:
    images: uint8 (N, H, W, C).
    centroids: K.
    patch: height and width of a patch, pixels.
    patches: how many to learn from.
    epsilon: of the whitening.
    seed: of the patches and of k-means.

  Returns:
    What `kmeans_features` takes.

  Raises:
    UserError: a picture is smaller than a patch.
  """
  from sklearn.cluster import MiniBatchKMeans

  count, height, width, _ = images.shape
  if min(height, width) < patch:
    raise UserError(f'patch={patch} is larger than the pictures, {height}x{width}: take a smaller one')
  generator = np.random.default_rng(check_seed(seed))
  which, top, left = (generator.integers(0, n, patches) for n in (count, height - patch + 1, width - patch + 1))
  rows = np.stack([images[i, y : y + patch, x : x + patch].ravel() for i, y, x in zip(which, top, left, strict=True)])
  rows = np.asarray(normalised(jnp.asarray(rows, jnp.float32)))
  mean, matrix = whitening(rows, epsilon)
  white = ((rows - mean) @ matrix).astype(np.float32)
  means = MiniBatchKMeans(centroids, batch_size=4096, n_init=1, max_iter=50, random_state=seed).fit(white)
  return KMeansFeatures(*(jnp.asarray(x, jnp.float32) for x in (mean, matrix, means.cluster_centers_)))


def kmeans_features(model: KMeansFeatures, images: jax.Array) -> jax.Array:
  r"""Triangle activations $f_k = \max(0, \bar z - z_k)$ of every patch, summed over the four quadrants.

  z_k is the distance of a whitened patch from centroid k. All of it is matrix products, for `jax.jit`.
  Source: Coates et al. 2011, section 3.2.1 and 3.3.

  Args:
    model: from `fit_kmeans_features`.
    images: uint8 (B, H, W, C).

  Returns:
    (B, 4 * K) float32.
  """
  batch, height, width, channels = images.shape
  patch = round((model.mean.shape[0] / channels) ** 0.5)
  rows, columns = height - patch + 1, width - patch + 1
  x = jnp.asarray(images, jnp.float32)
  windows = [x[:, i : i + rows, j : j + columns] for i in range(patch) for j in range(patch)]
  x = normalised(jnp.stack(windows, -2).reshape(-1, patch * patch * channels))  # (B * rows * columns, d)
  x = (x - model.mean[None]) @ model.whitening
  squares = jnp.sum(x**2, -1, keepdims=True) + jnp.sum(model.centroids**2, -1)[None] - 2 * x @ model.centroids.T
  distances = jnp.sqrt(jnp.maximum(squares, 0.0))  # (B * rows * columns, K)
  active = jax.nn.relu(distances.mean(-1, keepdims=True) - distances)
  maps = active.reshape(batch, rows, columns, -1)
  halves = lambda n: (slice(0, (n + 1) // 2), slice((n + 1) // 2, n))
  quadrants = [maps[:, vertical, across].sum((1, 2)) for vertical in halves(rows) for across in halves(columns)]
  return jnp.concatenate(quadrants, -1)
