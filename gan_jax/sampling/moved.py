"""The streams of a run whose data have moved."""

import dataclasses
from collections.abc import Mapping

from gan_jax.base.errors import UserError, one_of
from gan_jax.data.streams import Stream


def moved(streams: Mapping[str, Stream], data_path: str, name: str = '') -> dict[str, Stream]:
  """The streams of a run; those with the path of one of them have another.

  Args:
    streams: {name: stream}.
    data_path: where the data are now: PATH, or STREAM=PATH.
    name: the stream, if `data_path` does not name it; '' where all have one path.

  Raises:
    UserError: there is no such stream, none has a path, or they have several and none is named.
  """
  first, equal, path = data_path.partition('=')
  name, path = (first, path) if equal and first in streams else (name, data_path)
  known = {stream.path for stream in streams.values() if stream.path}
  if not known:
    raise UserError(f'--data_path={data_path}: the data of this run have no path: leave it out')
  with_path = [name for name, stream in streams.items() if stream.path]
  if name and name not in with_path:
    raise one_of(f'stream with a path, for --data_path={data_path}', name, with_path)
  if len(known) > 1 and not name:
    raise UserError(f'--data_path={data_path}: name which of {", ".join(with_path)} it is, such as {with_path[0]}=PATH')
  old = streams[name].path if name else known.pop()
  return {n: dataclasses.replace(s, path=path) if s.path == old else s for n, s in streams.items()}
