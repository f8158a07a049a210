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


def surviving(old: Sequence[Any], new: Any, *, together: bool = False) -> Survival:
  """`new` with the arrays of the `old` trees that fit. If several old trees have a path, the last of them wins.

  Args:
    old: trees.
    new: a tree.
    together: the trees are {collection: variables}, and the variables of one module or one dict say something only
      together (how many of a pool are filled, whether a scale was set): if one changes its shape, all stay new.

  >>> import numpy as np
  >>> survival = surviving([{'a': np.ones(2), 'b': np.ones(3)}], {'a': np.zeros(2), 'b': np.zeros(4)})
  >>> survival.kept, survival.changed
  (("['a']",), {"['b']": ((3,), (4,))})
  """
  name_of = jax.tree_util.keystr
  old_leaves: dict[str, Any] = {
    name_of(path): leaf for tree in old for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }
  leaves, kept, changed, named = [], [], {}, jax.tree_util.tree_leaves_with_path(new)
  differs = lambda path, leaf: (old := old_leaves.get(name_of(path))) is not None and old.shape != leaf.shape
  # What stands in a collection itself belongs to nothing else.
  begun = {path[:-1] for path, leaf in named if together and len(path) > 2 and differs(path, leaf)}
  for path, leaf in named:
    name = name_of(path)
    other = None if path[:-1] in begun else old_leaves.get(name)
    if other is not None and other.shape == leaf.shape:
      kept.append(name)
      leaf = other if other.dtype == leaf.dtype else other.astype(leaf.dtype)
    elif other is not None:
      changed[name] = (other.shape, leaf.shape)
    leaves.append(leaf)
  return Survival(jax.tree.unflatten(jax.tree.structure(new), leaves), tuple(kept), changed)
