"""Evaluates a run in one of several processes: evaluated.py WORKDIR OUT PROCESS PROCESSES PORT DEVICES."""

import json
import os
import sys

os.environ['JAX_PLATFORMS'] = 'cpu'
import jax

if __name__ == '__main__':
  workdir, out, process, processes, port, devices = sys.argv[1:]
  jax.config.update('jax_num_cpu_devices', int(devices))
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  if int(processes) > 1:
    jax.distributed.initialize(f'127.0.0.1:{port}', int(processes), int(process))
  import gan_jax
  from gan_jax.evaluate import evaluate

  found = evaluate(gan_jax.load(workdir), metrics=('fid', 'kid', 'prdc'), samples=700, features='raw')
  with open(f'{out}.{process}', 'w') as file:
    json.dump({'devices': jax.device_count(), **found.values}, file)
