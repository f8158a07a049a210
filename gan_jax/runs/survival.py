"""Which weights go on in another tree: those whose path, shape and type are the same."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax


class Survival(NamedTuple):
  """A tree with what survived of others.

  Attributes:
    tree: the new one, with the old leaves that fit.
    taken: the paths of these.
    changed: {path: (old shape, new shape)} of those that have the path and another shape.
  """

  tree: Any
  taken: tuple[str, ...]
  changed: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]


def surviving(old: Sequence[Any], new: Any) -> Survival:
  """`new` with the leaves of `old` trees that fit; later trees win.

  >>> import numpy as np
  >>> found = surviving([{'a': np.ones(2), 'b': np.ones(3)}], {'a': np.zeros(2), 'b': np.zeros(4)})
  >>> found.taken, found.changed
  (("['a']",), {"['b']": ((3,), (4,))})
  """
  name_of = jax.tree_util.keystr
  known = {name_of(path): leaf for tree in old for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
  leaves, taken, changed = [], [], {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(new):
    name = name_of(path)
    other = known.get(name)
    if other is not None and (other.shape, other.dtype) == (leaf.shape, leaf.dtype):
      taken.append(name)
      leaf = other
    elif other is not None and other.shape != leaf.shape:
      changed[name] = (other.shape, leaf.shape)
    leaves.append(leaf)
  return Survival(jax.tree.unflatten(jax.tree.structure(new), leaves), tuple(taken), changed)
