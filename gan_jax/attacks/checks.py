"""What every attack asks of its arguments: one-line errors before anything is computed."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from gan_jax.attacks.losses import Loss
from gan_jax.attacks.norms import NORMS
from gan_jax.base.errors import UserError, one_of, short
from gan_jax.base.functions import as_partial, known

LogitsFn = Callable[[jax.Array], jax.Array]


def _known(*values: Any) -> bool:
  """Whether values can be looked at: inside `jax.jit`, and of other processes, they cannot."""
  return known(*values) and not any(map(is_elsewhere, values))


def is_elsewhere(value: Any) -> bool:
  """Whether parts of an array are in other processes."""
  return isinstance(value, jax.Array) and known(value) and not value.is_fully_addressable


def checked(
  logits_fn: LogitsFn, x: Any, labels: Any, *, low: float, high: float, loss: Loss | None = None
) -> tuple[Partial, jax.Array, jax.Array]:
  """The arguments that all attacks share, ready for a compiled function.

  Args:
    logits_fn: examples (B, ...) -> logits (B, classes), of JAX operations. A `jax.tree_util.Partial(apply, variables)`
      is compiled once for all variables, any other function in each call.
    x: (B, ...) floats in [low, high].
    labels: (B,) integers in [0, classes).
    low: the least value of a pixel.
    high: the greatest.
    loss: (logits, labels) -> (B,), of attacks that take one; its `rank` is that of the logits, 3 for a stack of
      networks, (B, networks, classes).

  Returns:
    (logits_fn as a pytree, x, labels as int32).

  Raises:
    UserError: the range is empty, examples are no floats or lie outside it, there is not an integer label per example,
      the logits or the loss have another shape, or a label is no class.
  """
  x, labels = (given if isinstance(given, jax.Array) else np.asarray(given) for given in (x, labels))
  check_single(low=low, high=high)
  if _known(low, high) and not low < high:
    raise UserError(f'low={low} and high={high} are no range of pixels: give low < high')
  if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
    raise UserError(f'examples are of type {jnp.result_type(x)}: scale them to floats in [{low}, {high}] first')
  if np.ndim(x) < 2 or not len(x):
    raise UserError(f'examples have the shape {np.shape(x)}: give a batch (B, ...) of at least one')
  if np.shape(labels) != (len(x),) or not jnp.issubdtype(jnp.result_type(labels), jnp.integer):
    raise UserError(
      f'labels are {jnp.result_type(labels)} of shape {np.shape(labels)}: give {len(x)} integers, one per example'
    )
  # Adversarial examples are data: a loss on them has no gradient through the search, whose result is cut off as well,
  # for a function has weights that are no arguments.
  partial, x = jax.lax.stop_gradient((as_partial(logits_fn), jnp.asarray(x)))
  labels = jnp.asarray(labels)
  logits = shape_of_logits(partial, x)
  shape, rank = getattr(logits, 'shape', None), getattr(loss, 'rank', 2)
  if shape is None or len(shape) != rank or shape[0] != len(x):
    what = f'logits of shape {shape}' if shape is not None else f'a {type(logits).__name__}'
    wanted = '(B, classes)' if rank == 2 else '(B, networks, classes)'
    raise UserError(f'logits_fn gives {what} for {len(x)} examples: let it return one array {wanted}')
  if shape[-1] < 2:
    raise UserError(f'logits_fn gives logits of shape {shape}: an attack needs at least 2 classes')
  if loss is not None and getattr(found := jax.eval_shape(loss, logits, labels), 'shape', None) != (len(x),):
    what = f'numbers of shape {found.shape}' if hasattr(found, 'shape') else f'a {type(found).__name__}'
    raise UserError(f'the loss of an attack gives {what} for {len(x)} examples: let it return one number for each')
  if _known(labels):
    # In NumPy: inside a trace even constants may not be looked at by JAX's own functions.
    given = np.asarray(labels)
    least, most = int(given.min()), int(given.max())
    if least < 0 or most >= shape[-1]:
      wrong = least if least < 0 else most
      raise UserError(f'label {wrong} is out of range: the network has the classes 0 to {shape[-1] - 1}')
  if _known(x, low, high):
    pixels = np.asarray(x)
    darkest, brightest = float(pixels.min()), float(pixels.max())
    slack = 1e-6 * (high - low)
    # So written that NaN is outside too.
    if not (darkest >= low - slack and brightest <= high + slack):
      raise UserError(
        f'examples lie in [{darkest:g}, {brightest:g}], outside [{low:g}, {high:g}]: give their low and high'
      )
  return partial, x, labels.astype(jnp.int32)


def check_eps(eps: float, x: jax.Array, norm: str, low: float, high: float, name: str = 'eps') -> None:
  """Raises a UserError unless the norm is known and eps is positive and no wider than the range.

  Args:
    eps: the largest distance, in the norm, in units of pixels.
    x: (B, ...).
    norm: 'linf' or 'l2'.
    low: the least value of a pixel.
    high: the greatest.
    name: of the argument, for the message.
  """
  if norm not in NORMS:
    raise one_of('norm of an attack', norm, NORMS)
  check_single(**{name: eps})
  if not _known(eps, low, high):
    return
  most = (high - low) * (math.sqrt(math.prod(x.shape[1:])) if norm == 'l2' else 1.0)
  if not 0 < eps <= most:
    raise UserError(
      f'{name}={eps:g} is out of range: pixels in [{low:g}, {high:g}] can differ by at most {most:g} in the norm '
      f'{norm}; choose one above 0'
    )


def shape_of_logits(network: Partial, x: jax.Array) -> Any:
  """What the network gives for x, in shapes. Raises a UserError if it is not made of JAX operations."""
  try:
    return jax.eval_shape(network, x)
  except (jax.errors.TracerArrayConversionError, jax.errors.TracerBoolConversionError) as error:
    raise UserError(
      f'logits_fn looks at the values of the examples ({short(error)}): make it of JAX operations, or wrap what it '
      'calls in jax.pure_callback'
    ) from error


def check_single(**values: Any) -> None:
  """Raises a UserError for an array where one number is wanted, inside `jax.jit` too."""
  for name, value in values.items():
    if np.ndim(value):
      raise UserError(f"{name} has the shape {np.shape(value)}: give one number; one for each example is jax.vmap's")


def check_positive(**values: float) -> None:
  """Raises a UserError for a number that must be above 0."""
  check_single(**values)
  for name, value in values.items():
    if _known(value) and not value > 0:
      raise UserError(f'{name}={value:g} must be above 0')


def check_least(least: float = 0.0, **values: float) -> None:
  """Raises a UserError for a number that is less than the least, or none."""
  check_single(**values)
  for name, value in values.items():
    if _known(value) and not value >= least:
      raise UserError(f'{name}={value:g} must be at least {least:g}')


def check_count(**values: int) -> None:
  """Raises a UserError for a number that must be an integer of at least 1."""
  for name, value in values.items():
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
      raise UserError(f'{name}={value!r} must be an integer of at least 1')
