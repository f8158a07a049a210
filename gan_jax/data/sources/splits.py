"""Splits by name: which one a person means, and slices of those that keep none of their own."""

import re

import numpy as np

from gan_jax.base.errors import UserError

#: Names that mean the same part of a set.
SAME = (('train', 'training'), ('validation', 'val', 'valid', 'dev'), ('test', 'testing'))
#: Of the order that is sliced: files lie sorted by class, a slice of them has to be a fair choice.
ORDER_SEED = 0


def looks_like_split(name: str) -> bool:
  """Whether a folder of this name is taken for a split; 'trainA' is one of two domains.

  >>> looks_like_split('Val'), looks_like_split('testB'), looks_like_split('cats')
  (True, True, False)
  """
  known = '|'.join(alias for group in SAME for alias in group)
  return re.fullmatch(rf'({known})[ab]?', name.lower()) is not None


def find(name: str, known: list[str]) -> str | None:
  """The one of `known` that `name` means: itself, or another usual name of it; None if there is none.

  >>> find('validation', ['train', 'val']), find('test', ['train', 'val'])
  ('val', None)
  """
  group = next((group for group in SAME if name.lower() in group), ())
  for wanted in (name, *group):
    for other in known:
      if other == wanted or (group and other.lower() == wanted):
        return other
  return None


def training(split: str) -> str:
  """The split that numbers the classes of another: 'train', or that of its domain.

  >>> training('val[:9]'), training('testB')
  ('train', 'trainB')
  """
  name = parse(split)[0]
  return f'train{name[-1]}' if looks_like_split(name) and looks_like_split(name[:-1]) else 'train'


def parse(split: str) -> tuple[str, str]:
  """The name and the slice of 'train[:50]'; the slice is '' if the split is whole.

  Raises:
    UserError: neither a name nor a slice of one.

  >>> parse('train[10%:]')
  ('train', '10%:')
  """
  found = re.fullmatch(r'([^\[\]+]+)(?:\[(\d*%?:\d*%?)\])?', split)
  if found is None:
    raise UserError(f'config.data.split={split!r} must be a name or a slice of one here, like train[:50] or test[10%:]')
  return found[1], found[2] or ''


def chosen(split: str, count: int) -> np.ndarray:
  """Which of `count` examples a split's slice takes, in ascending order; slices that touch do not overlap.

  Raises:
    UserError: the slice takes no example, or leaves the set.

  >>> sorted([*chosen('train[:2]', 3), *chosen('train[2:]', 3)]) == [0, 1, 2]
  True
  """
  name, part = parse(split)
  if not part:
    return np.arange(count)
  start, end = (_place(text, count) for text in part.split(':'))
  start, end = start or 0, count if end is None else end
  if end > count or start >= end:
    raise UserError(f'config.data.split={split!r} must lie within the {count} examples of {name} and take one at least')
  return np.sort(np.random.RandomState(ORDER_SEED).permutation(count)[start:end])


def _place(text: str, count: int) -> int | None:
  if not text:
    return None
  return count * int(text[:-1]) // 100 if text.endswith('%') else int(text)
