"""The lines of a text file as the column 'text'."""

from typing import TYPE_CHECKING

from gan_jax.base import paths
from gan_jax.base.errors import UserError, one_of, short
from gan_jax.data.sources import splits
from gan_jax.data.sources.base import Table

if TYPE_CHECKING:
  from gan_jax.data.streams import Stream

#: Of a file that is not divided, so many of a hundred lines, the last, are 'test'.
HELD_OUT = 10


def lines(stream: 'Stream') -> Table:
  """The lines of config.data.path that are not empty, as the column 'text'.

  '{split}' in the path is replaced by the split. Of one file, the first nine tenths of the lines are 'train' and the
  rest is 'test': neighbours often belong together, such as captions of one picture.

  Raises:
    UserError: there is no such file or split, or it is no text.
  """
  from gan_jax.data.sources.npz import file_of

  if not stream.path:
    raise UserError('config.data.path is missing: name the text file')
  name, _ = splits.parse(stream.split)
  divided = '{split}' in stream.path
  path = file_of(stream) if divided else paths.expand(stream.path)
  if not path.is_file():
    raise UserError(f'config.data.path={stream.path!r} is not a file')
  try:
    found = [line.strip() for line in path.read_text(encoding='utf-8-sig').split('\n') if line.strip()]
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f'{path} cannot be read as text ({short(error)}): save it as UTF-8') from error
  if not divided:
    cut = len(found) * (100 - HELD_OUT) // 100
    parts = {'train': found[:cut], 'test': found[cut:], 'all': found}
    if name not in parts:
      raise one_of(f'split of {path} in config.data.split', name, parts)
    found = parts[name]
  if not found:
    raise UserError(f'{path} has no lines in the split {name!r}: give it more')
  return Table({'text': [found[i] for i in splits.chosen(stream.split, len(found))]})
