"""Optax links that keep weights where they should be: clipped, within a norm, orthogonal.

They are also in `gan_jax.optim.minimax`, where configs look for the names of optimizers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gan_jax.base.errors import UserError


def check_params(params: Any) -> None:
  """Raises a UserError if an update was asked for without the parameters."""
  if params is None:
    raise UserError('this optimizer needs the parameters: call tx.update(gradients, state, params)')


def clip_weights(limit: float) -> optax.GradientTransformation:
  """Clips every parameter to [-limit, limit] after the update. Put it last in the chain of a WGAN critic.

  Source: Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875, algorithm 1, line 7.

  Args:
    limit: c, positive (0.01 in the paper).

  Raises:
    ValueError: the limit is not positive.

  >>> tx = optax.chain(optax.sgd(1.0), clip_weights(0.01))
  >>> params = jnp.zeros(())
  >>> updates, _ = tx.update(jnp.ones(()), tx.init(params), params)
  >>> round(float(updates), 4)
  -0.01
  """
  if limit <= 0:
    raise ValueError(f'clip_weights: limit is {limit}, must be positive')

  def update(updates, state, params=None):
    check_params(params)
    return jax.tree.map(lambda u, p: jnp.clip(p + u, -limit, limit) - p, updates, params), state

  return optax.GradientTransformation(optax.init_empty_state, update)


def max_column_norm(limit: float) -> optax.GradientTransformation:
  """Keeps the incoming weights of every unit within a Euclidean norm after the update: a maxout network's last link.

  Source: Srivastava et al. 2014 (dropout), https://jmlr.org/papers/v15/srivastava14a.html, section 5.1; pylearn2's
  `max_col_norm`. What has two axes is kept, as kernels (in, out) of dense layers are; biases and convolutions go free.
  Each copy of `nets.copies.Copies` is taken by itself, if the network has biases or scales: without these, copies are
  not known.

  Args:
    limit: positive (1.9365 in the authors' MNIST networks).

  >>> tx = optax.chain(optax.sgd(1.0), max_column_norm(1.0))
  >>> params = {'kernel': jnp.array([[3.0], [4.0]])}
  >>> updates, _ = tx.update({'kernel': jnp.zeros((2, 1))}, tx.init(params), params)
  >>> bool(jnp.allclose(params['kernel'] + updates['kernel'], jnp.array([[0.6], [0.8]])))
  True
  """
  if limit <= 0:
    raise ValueError(f'max_column_norm: limit is {limit}, must be positive')

  def kept(update, param):
    if param.ndim != 2:
      return update
    moved = param + update
    norms = jnp.sqrt(jnp.square(moved).sum(0, keepdims=True))
    return moved * jnp.minimum(1.0, limit / jnp.maximum(norms, 1e-7)) - param

  def update(updates, state, params=None):
    check_params(params)
    axes = _axes_of_copies(params)
    each = lambda path, u, p: u if _is_bias(path) else _of_each(kept, axes.get(path, 0))(u, p)
    return jax.tree_util.tree_map_with_path(each, updates, params), state

  return optax.GradientTransformation(optax.init_empty_state, update)


def orthogonal(weight: float, *, off_diagonal: bool = True, skip: Sequence[str] = ()) -> optax.GradientTransformation:
  r"""Adds the gradient of an orthogonality penalty on every parameter of two axes or more but biases.

  Put it first in a chain. $\beta \|W^T W \odot (1 - I)\|_F^2$ (BigGAN), or $\beta \|W^T W - I\|_F^2$ (the full form).
  W has the parameter's last axis as its columns: outputs of dense layers and convolutions, inputs of transposed ones.
  Tables, such as gains of classes, are pulled too, as in BigGAN's code; a bias is what has 'bias' in its name.
  Source: Brock et al. 2018, https://arxiv.org/abs/1809.11096, eq. 3; the full form Brock et al. 2016,
  https://arxiv.org/abs/1609.07093, eq. 2. Each copy of `nets.copies.Copies` is taken by itself, if the network has
  biases or scales: without these, copies are not known.

  Args:
    weight: beta (1e-4 in BigGAN).
    off_diagonal: leave the diagonal of W^T W out of the penalty.
    skip: names of modules without a penalty, such as an embedding.

  >>> tx = orthogonal(0.5)
  >>> w = {'kernel': jnp.array([[1.0, 1.0]])}
  >>> tx.update({'kernel': jnp.zeros((1, 2))}, tx.init(w), w)[0]['kernel'].tolist()
  [[2.0, 2.0]]
  """

  def penalty(kernel):
    matrix = kernel.reshape(-1, kernel.shape[-1])
    gram, eye = matrix.T @ matrix, jnp.eye(kernel.shape[-1], dtype=kernel.dtype)
    return weight * jnp.sum((gram * (1 - eye) if off_diagonal else gram - eye) ** 2)

  def update(updates, state, params=None):
    check_params(params)
    axes = _axes_of_copies(params)
    skipped = lambda path: any(_name(part) in skip for part in path) or _is_bias(path)
    pulled = lambda u, p: u + jax.grad(penalty)(p) if p.ndim > 1 else u
    pull = lambda path, u, p: u if skipped(path) else _of_each(pulled, axes.get(path, 0))(u, p)
    return jax.tree_util.tree_map_with_path(pull, updates, params), state

  return optax.GradientTransformation(optax.init_empty_state, update)


def _is_bias(path: Any) -> bool:
  """Whether a leaf is a bias by its name, for it may have two axes or more: 'bias', 'bias_0'."""
  return 'bias' in str(_name(path[-1])) if path else False


def _name(part: Any) -> Any:
  """The name in one part of a path: the key of a dict, or the name of an attribute."""
  return getattr(part, 'key', getattr(part, 'name', None))


def _axes_of_copies(params: Any) -> dict[Any, int]:
  """{path of a leaf: how many of its first axes count copies of a network}, where there are copies.

  `nets.copies.Copies` stacks all leaves of its `network`, and so its biases and scales, which have one axis without it.
  Copies of a network that has neither biases nor scales cannot be told from one network: they count as one.
  """
  shapes = {path: jnp.shape(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
  networks = {path[: i + 1] for path in shapes for i, part in enumerate(path) if _name(part) == 'network'}
  axes: dict[Any, int] = {}
  for network in sorted(networks, key=len):  # copies of copies: the outer ones first
    inside = {path: shape[axes.get(path, 0) :] for path, shape in shapes.items() if path[: len(network)] == network}
    single = [shape for path, shape in inside.items() if _name(path[-1]) in ('bias', 'scale')]
    if single and all(len(shape) > 1 for shape in single) and len({shape[:1] for shape in inside.values()}) == 1:
      axes |= {path: axes.get(path, 0) + 1 for path in inside}
  return axes


def _of_each(function: Callable[..., Any], axes: int) -> Callable[..., Any]:
  """The function over so many first axes."""
  return function if not axes else jax.vmap(_of_each(function, axes - 1))
