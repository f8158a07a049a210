"""Checkpoints as PyTorch writes them, put together byte by byte: the pickles' instructions, then the storages."""

import io
import struct
import zipfile
from typing import Any, NamedTuple

import numpy as np

STORAGES = {'f4': 'Float', 'f2': 'Half', 'f8': 'Double', 'i8': 'Long', 'i4': 'Int', 'u1': 'Byte', 'b1': 'Bool'}


class Name(NamedTuple):
  module: str
  name: str


class Call(NamedTuple):
  function: Any
  arguments: tuple


class Outside(NamedTuple):
  name: tuple


class Code(NamedTuple):
  instructions: bytes


def instructions(value) -> bytes:
  """Protocol 2, without the end."""
  match value:
    case Code(code):
      return code
    case Name(module, name):
      return f'c{module}\n{name}\n'.encode()
    case Call(function, arguments):
      return instructions(function) + instructions(arguments) + b'R'
    case Outside(name):
      return instructions(name) + b'Q'
    case None | True | False:
      return {None: b'N', True: b'\x88', False: b'\x89'}[value]
    case int():
      long = value.to_bytes(value.bit_length() // 8 + 1, 'little', signed=True)
      return b'\x8a' + bytes([len(long)]) + long
    case str():
      return b'X' + struct.pack('<I', len(value.encode())) + value.encode()
    case tuple() | list():
      inner = b''.join(map(instructions, value))
      return b'(' + inner + b't' if isinstance(value, tuple) else b'](' + inner + b'e'
    case dict():
      return b'}(' + b''.join(instructions(x) for pair in value.items() for x in pair) + b'u'
  raise TypeError(type(value))


def pickled(value) -> bytes:
  return b'\x80\x02' + instructions(value) + b'.'


def tensor(key: str, dtype: str, length: int, shape: tuple, strides: tuple, offset: int = 0) -> Call:
  storage = Outside(('storage', Name('torch', f'{STORAGES[dtype]}Storage'), key, 'cpu', length))
  hooks = Call(Name('collections', 'OrderedDict'), ())
  return Call(Name('torch._utils', '_rebuild_tensor_v2'), (storage, offset, shape, strides, False, hooks))


def tensors(arrays: dict[str, np.ndarray]) -> tuple[dict, dict[str, bytes]]:
  """A state dict of whole arrays, and the bytes of their storages."""
  state, contents = {}, {}
  for i, (name, array) in enumerate(arrays.items()):
    strides = tuple(s // array.itemsize for s in array.strides)
    state[name] = tensor(str(i), array.dtype.str[1:], array.size, array.shape, strides)
    contents[str(i)] = array.tobytes()
  return state, contents


def zipped(saved, contents: dict[str, bytes], byteorder: bytes = b'little', compression=zipfile.ZIP_STORED) -> bytes:
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w', compression) as archive:
    archive.writestr('archive/data.pkl', pickled(saved))
    archive.writestr('archive/byteorder', byteorder)
    for key, content in contents.items():
      archive.writestr(f'archive/data/{key}', content)
  return file.getvalue()


def legacy(saved, contents: dict[str, bytes], itemsizes: dict[str, int], little_endian: bool = True) -> bytes:
  head = [0x1950A86A20F9469CFC6C, 1001, {'protocol_version': 1001, 'little_endian': little_endian}, saved]
  storages = [struct.pack('<q', len(content) // itemsizes[key]) + content for key, content in contents.items()]
  return b''.join([*map(pickled, [*head, list(contents)]), *storages])
