"""Compiles a step for an H100 without having one: seconds to compile, kernels, memory. The step is not run.

    pip install '.[cuda13]'
    python -m benchmarks.compile_for_gpu --config configs/biggan.py --config.batch_size=256 --config.dtype=bfloat16

XLA compiles for an H100 of 80 GiB, described below. On a GPU it tries several algorithms for each convolution and
product; here none (`--xla_gpu_autotune_level=0`), so a real first step takes longer. Kernels are what the compiled
program starts: fusions, calls of cuDNN and cuBLAS, and copies; in a loop they count once. Memory is of the state, the
batch and XLA's buffers, in GiB; the set of examples, which may lie on the GPU as well, is not in it.
"""

import argparse
import collections
import os
import re
import time
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.distributed import parallel
from gan_jax.nets.layers.conv import formulation

H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 10 }
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132  fpus_per_core: 128  clock_rate_ghz: 1.98
  threads_per_block_limit: 1024  threads_per_warp: 32  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
  shared_memory_per_block: 49152  shared_memory_per_block_optin: 232448  shared_memory_per_core: 233472
  registers_per_core_limit: 65536  registers_per_block_limit: 65536
  memory_bandwidth: 3352320000000  l2_cache_size: 52428800  device_memory_size: 84978434048
}
"""


def compiled(stage: Any) -> tuple[Any, float]:
  """(the step of a stage, compiled for the GPU; seconds it took)."""
  devices = topologies.get_topology_desc('h100', 'cuda', target_config=H100, topology='1x1x1').devices
  here = parallel.make_mesh(1)
  mesh = Mesh(np.array(devices[:1]), here.axis_names)
  whole = NamedSharding(mesh, PartitionSpec())
  placed = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole)
  key = jax.random.key(0)
  state = jax.tree.map(placed, jax.eval_shape(lambda key: runs.new_state(stage, key), key))
  backend, jax.default_backend = jax.default_backend, lambda: 'gpu'  # only on a CPU some loops are unrolled
  try:
    with formulation('xla'):
      step = parallel.compile_step(runs.make_step(stage, mesh), mesh)
      lowered = step.lower(state, runs.abstract_feed(stage, mesh), placed(key))
  finally:
    jax.default_backend = backend
  since = time.perf_counter()
  return lowered.compile(), time.perf_counter() - since


def kernels(program: str) -> dict[str, int]:
  """How often a compiled program, as text, starts each kind of kernel."""
  found: collections.Counter[str] = collections.Counter()
  inside, bodies = '', set(re.findall(r' fusion\(.*calls=%?([\w.-]+)', program))
  for line in program.splitlines():
    if head := re.match(r'(?:ENTRY )?%?([\w.-]+) \(', line):
      inside = head[1]
    if inside in bodies:
      continue
    if call := re.search(r'custom_call_target="(?:__)?(\w+)\$', line):
      found[call[1]] += 1
    elif kind := re.search(r' (fusion|copy)\(', line):
      found['fusions' if kind[1] == 'fusion' else 'copies'] += 1
  return dict(found)


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--config', action='append', required=True, help='a config file; may be given several times')
  values, overrides = parser.parse_known_args(arguments)
  os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_gpu_autotune_level=0'
  jax.config.update('jax_platforms', 'cpu')
  rows = []
  for name in values.config:
    config = config_lib.override(config_lib.load(name), [*overrides, '--config.devices=1'])
    for stage in runs.stages_of(config):
      program, seconds = compiled(stage)
      memory = program.memory_analysis()
      total = memory.argument_size_in_bytes + memory.temp_size_in_bytes
      rows.append(dict(config=name, seconds=seconds, kernels=kernels(program.as_text()), memory=total / 2**30))
      parts = ', '.join(f'{count} {kind}' for kind, count in sorted(rows[-1]['kernels'].items()))
      print(f'{name}: compiled in {seconds:.0f} s, {rows[-1]["memory"]:.1f} GiB, {parts}', flush=True)
  return rows


if __name__ == '__main__':
  main()
