"""Reads the tensors of a PyTorch checkpoint file without PyTorch, and without running pickled code.

A checkpoint has a pickle and the raw bytes of the tensors. A pickle is a small program that builds objects. Python's
own unpickler imports and calls everything that this program names. This module interprets only the few instructions
that build dictionaries, numbers, strings and tensors, and refuses all others. It reads both layouts: the zip archive of
PyTorch >= 1.6, and the older sequence of pickles.
"""

import io
import os
import pathlib
import pickletools
import zipfile
from collections.abc import Callable
from typing import IO, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError

STORAGES: dict[str, Any] = {
  'torch.HalfStorage': np.float16,
  'torch.BFloat16Storage': jnp.bfloat16,
  'torch.FloatStorage': np.float32,
  'torch.DoubleStorage': np.float64,
  'torch.ByteStorage': np.uint8,
  'torch.CharStorage': np.int8,
  'torch.ShortStorage': np.int16,
  'torch.IntStorage': np.int32,
  'torch.LongStorage': np.int64,
  'torch.BoolStorage': np.bool_,
}
DICTIONARY = 'collections.OrderedDict'
TENSORS = ('torch._utils._rebuild_tensor', 'torch._utils._rebuild_tensor_v2')
PARAMETERS = ('torch._utils._rebuild_parameter', 'torch._utils._rebuild_parameter_with_state')
ALLOWED = frozenset([DICTIONARY, *TENSORS, *PARAMETERS, *STORAGES])

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MOST_AXES = 64
# Instructions that push their own argument, and below those that push a constant or an empty container.
PUSHED = {
  'BININT',
  'BININT1',
  'BININT2',
  'LONG1',
  'BINFLOAT',
  'SHORT_BINSTRING',
  'BINSTRING',
  'SHORT_BINUNICODE',
  'BINUNICODE',
}
CONSTANTS: dict[str, Callable[[], Any]] = {
  'NONE': lambda: None,
  'NEWTRUE': lambda: True,
  'NEWFALSE': lambda: False,
  'EMPTY_DICT': dict,
  'EMPTY_LIST': list,
  'EMPTY_TUPLE': tuple,
}


Content = bytes | memoryview


class _Storage(NamedTuple):
  key: str
  dtype: np.dtype
  length: int


class _Tensor(NamedTuple):
  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]


def read_tensors(path: str | os.PathLike) -> dict[str, Any]:
  """The tensors of a file written by `torch.save`.

  The file must hold a dictionary. Its tensors, parameters and inner dictionaries keep their keys; other values
  (counters, lists, strings) are left out. The function runs no code of the file, and reads nothing outside the file.

  Args:
    path: a local file with a state dict, or with a dictionary of state dicts.

  Returns:
    {dotted name: array} for a state dict, else nested dictionaries of arrays. The arrays are read-only and keep the
    dtypes of the tensors (bfloat16 too). Tensors that share memory become arrays that share memory.

  Raises:
    UserError: the file does not exist, is damaged, holds no dictionary, or needs more than tensors to be built.

  Source: the format as `torch/serialization.py` and `torch/_utils.py` of PyTorch 2.13 write it.

  >>> read_tensors('no_such.pth')
  Traceback (most recent call last):
  gan_jax.base.errors.UserError: no file no_such.pth
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(f'no file {path}')
  try:
    with path.open('rb') as file:
      saved, contents = (_read_zip if file.read(2) == b'PK' else _read_legacy)(file, path.stat().st_size)
    return _arrays(_of(dict, saved), contents, {})
  except _Refused as error:
    raise UserError(f'{path} asks for {error}, which is not read: save only the state_dict()') from error
  except Exception as error:  # a damaged file can cause almost any exception in the parsers below
    reason = str(error) or type(error).__name__
    raise UserError(f'{path} is damaged or is not a PyTorch checkpoint: {reason}') from error


class _Refused(Exception):
  """A pickle needs an object or an instruction that this reader refuses."""


def _read_zip(file: IO[bytes], size: int) -> tuple[Any, dict[str, Content]]:
  with zipfile.ZipFile(file) as archive:
    infos = {info.filename: info for info in archive.infolist()}
    tops = [name.removesuffix('data.pkl') for name in infos if name.count('/') == 1 and name.endswith('/data.pkl')]
    if len(tops) != 1:
      raise ValueError('the archive has no data.pkl')
    # In a good archive the entries do not overlap. Overlapping entries could grow without limit when they are read.
    if sum(info.file_size for info in infos.values()) > size:
      raise ValueError('its entries are larger than the file')

    def read(name: str) -> bytes:
      info = infos[tops[0] + name]
      if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise ValueError(f'{name} is compressed')
      return archive.read(info)

    if tops[0] + 'byteorder' in infos and read('byteorder') != b'little':
      raise _Refused('big-endian numbers')
    storages: dict[str, _Storage] = {}
    saved = _unpickle(io.BytesIO(read('data.pkl')), storages)
    return saved, {key: read(f'data/{key}') for key in storages}


def _read_legacy(file: IO[bytes], size: int) -> tuple[Any, dict[str, Content]]:
  file.seek(0)
  # A bad pickle may ask for more bytes than the file has: from memory, such a read just ends early.
  whole = memoryview(file.read(size))
  stream = io.BytesIO(whole)
  storages: dict[str, _Storage] = {}
  if _unpickle(stream, storages) != LEGACY_MAGIC or _unpickle(stream, storages) != LEGACY_PROTOCOL:
    raise ValueError('it begins with neither a zip archive nor the magic number')
  if _of(dict, _unpickle(stream, storages))['little_endian'] is not True:
    raise _Refused('big-endian numbers')
  saved, keys = _unpickle(stream, storages), _of(list, _unpickle(stream, storages))
  contents: dict[str, Content] = {}
  for key in keys:
    start = stream.tell() + 8
    length = int.from_bytes(whole[start - 8 : start], 'little', signed=True)
    stop = start + length * storages[_of(str, key)].dtype.itemsize
    if not start <= stop <= size:
      raise ValueError(f'storage {key} goes beyond the end of the file')
    contents[key] = whole[start:stop]
    stream.seek(stop)
  return saved, contents


def _array(tensor: _Tensor, content: Content) -> np.ndarray:
  """The array of a tensor, a view of the storage's bytes. Checks first that it lies inside the storage."""
  (_, dtype, length), offset, shape, strides = tensor
  if len(content) != length * dtype.itemsize:
    raise ValueError(f'storage {tensor.storage.key} has {len(content)} bytes, not {length} of {dtype}')
  if 0 in shape:
    return np.zeros(shape, dtype)
  if offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) >= length:
    raise ValueError(f'a tensor goes beyond the end of storage {tensor.storage.key}')
  values = np.frombuffer(content, dtype)[offset:]
  return np.lib.stride_tricks.as_strided(values, shape, [dtype.itemsize * s for s in strides], writeable=False)


def _arrays(table: dict, contents: dict[str, Content], done: dict[int, dict | None]) -> dict[str, Any]:
  """The arrays of a dictionary. `done` holds finished dictionaries by id: one may be shared or contain itself."""
  if id(table) not in done:
    done[id(table)] = None
    result: dict[str, Any] = {}
    for key, value in table.items():
      if isinstance(value, _Tensor):
        result[str(key)] = _array(value, contents[value.storage.key])
      elif isinstance(value, dict):
        result[str(key)] = _arrays(value, contents, done)
    done[id(table)] = result
  finished = done[id(table)]
  if finished is None:
    raise ValueError('a dictionary contains itself')
  return finished


def _unpickle(stream: io.BytesIO, storages: dict[str, _Storage]) -> Any:
  """Interprets one pickle up to its end and adds the storages that it names to `storages`.

  Functions and classes stay strings. An object is never hashed, printed or copied before its type and size are checked:
  a file of a few kilobytes can describe a tuple that is too deep to hash and too large to print.
  """
  outer: list[list] = []
  stack: list[Any] = []
  memo: dict[int, Any] = {}
  argument: Any
  for opcode, argument, _ in pickletools.genops(stream):
    name = opcode.name
    if name in PUSHED:
      stack.append(argument)
    elif name in CONSTANTS:
      stack.append(CONSTANTS[name]())
    elif name == 'STOP':
      return stack.pop()
    elif name in ('PROTO', 'FRAME'):
      pass
    elif name == 'MARK':
      outer.append(stack)
      stack = []
    elif name in ('TUPLE', 'APPENDS', 'SETITEMS'):
      items, stack = stack, outer.pop()
      if name == 'TUPLE':
        stack.append(tuple(items))
      elif name == 'APPENDS':
        _of(list, stack[-1]).extend(items)
      else:
        _of(dict, stack[-1]).update(zip(map(_key, items[::2]), items[1::2], strict=True))
    elif name in ('TUPLE1', 'TUPLE2', 'TUPLE3'):
      items = [stack.pop() for _ in range(int(name[-1]))]
      stack.append(tuple(reversed(items)))
    elif name == 'APPEND':
      value = stack.pop()
      _of(list, stack[-1]).append(value)
    elif name == 'SETITEM':
      value, key = stack.pop(), stack.pop()
      _of(dict, stack[-1])[_key(key)] = value
    elif name in ('BINPUT', 'LONG_BINPUT'):
      memo[argument] = stack[-1]
    elif name == 'MEMOIZE':
      memo[len(memo)] = stack[-1]
    elif name in ('BINGET', 'LONG_BINGET'):
      stack.append(memo[argument])
    elif name == 'GLOBAL':
      stack.append(_known(argument.replace(' ', '.')))
    elif name == 'STACK_GLOBAL':
      attribute, module = _of(str, stack.pop()), _of(str, stack.pop())
      stack.append(_known(f'{module}.{attribute}'))
    elif name == 'BINPERSID':
      storage = _storage(*_of(tuple, stack.pop()))
      storages[storage.key] = storage
      stack.append(storage)
    elif name == 'REDUCE':
      arguments = _of(tuple, stack.pop())
      stack.append(_call(_of(str, stack.pop()), arguments))
    elif name == 'BUILD':
      # Attributes of a state dict: versions of the layers, which are not needed here.
      stack.pop()
      _of(dict, stack[-1])
    else:
      raise _Refused(f'the pickle instruction {name}')


def _of(kind: type, value: Any) -> Any:
  if type(value) is not kind:
    raise ValueError(f'it has a {type(value).__name__.lstrip("_")} where a {kind.__name__.lstrip("_")} belongs')
  return value


def _key(value: Any) -> str | int:
  return value if type(value) is int else _of(str, value)


def _known(name: str) -> str:
  if name not in ALLOWED:
    raise _Refused(name)
  return name


def _position(value: Any) -> int:
  if _of(int, value) < 0:
    raise ValueError(f'it has {value} for a size or a position')
  return value


def _positions(values: Any) -> tuple[int, ...]:
  if len(_of(tuple, values)) > MOST_AXES:
    raise ValueError(f'it has a tensor of {len(values)} axes')
  return tuple(map(_position, values))


def _storage(kind: Any, storage_type: Any, key: Any, location: Any, length: Any, view: Any = None) -> _Storage:
  """The storage that a persistent id of the pickle describes. The tensor's device (cpu, cuda:0) does not matter."""
  if _of(str, kind) != 'storage' or _of(str, storage_type) not in STORAGES or view is not None:
    raise _Refused(f'an outside object of kind {kind} and type {storage_type}')
  return _Storage(_of(str, key), np.dtype(STORAGES[storage_type]), _position(length))


def _call(name: str, arguments: tuple) -> Any:
  if name == DICTIONARY and not arguments:
    return {}
  if name in TENSORS:
    storage, offset, shape, strides, *rest = arguments  # then: requires_grad, backward hooks, bits of a view
    if len(rest) > 2 and rest[2]:
      raise _Refused('a tensor with a negative or conjugate bit')
    return _Tensor(_of(_Storage, storage), _position(offset), _positions(shape), _positions(strides))
  if name in PARAMETERS:
    return _of(_Tensor, arguments[0])
  raise _Refused(f'a call of {name}')
