"""Copies arrays from old trees into a new one, where path and shape are the same."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax


class Survival(NamedTuple):
  """The result of `surviving`.

  Attributes:
    tree: the new tree, with the old arrays that fit.
    kept: the paths of these old arrays.
    changed: {path: (old shape, new shape)} of the arrays that have the same path but another shape.
  """

  tree: Any
  kept: tuple[str, ...]
  changed: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]


def surviving(old: Sequence[Any], new: Any) -> Survival:
  """`new` with the arrays of the `old` trees that fit. If several old trees have a path, the last of them wins.

  >>> import numpy as np
  >>> survival = surviving([{'a': np.ones(2), 'b': np.ones(3)}], {'a': np.zeros(2), 'b': np.zeros(4)})
  >>> survival.kept, survival.changed
  (("['a']",), {"['b']": ((3,), (4,))})
  """
  name_of = jax.tree_util.keystr
  old_leaves = {name_of(path): leaf for tree in old for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
  leaves, kept, changed = [], [], {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(new):
    name = name_of(path)
    other = old_leaves.get(name)
    if other is not None and other.shape == leaf.shape:
      kept.append(name)
      leaf = other if other.dtype == leaf.dtype else other.astype(leaf.dtype)
    elif other is not None:
      changed[name] = (other.shape, leaf.shape)
    leaves.append(leaf)
  return Survival(jax.tree.unflatten(jax.tree.structure(new), leaves), tuple(kept), changed)
