# %% [markdown]
# # BigGAN: one chip, and a pod
#
# The same config trains on a CPU, on one TPU chip or GPU, and on a pod. Here the small BigGAN for 8x8 digits trains
# for a few hundred steps; then we look at the big ones, and at what changes between one chip and many. The outputs
# below were made on a CPU with two cores; with an accelerator raise `STEPS` to 4000, which the config has.

# %%
from gan_jax import config
from gan_jax.training import loop

ON_CPU = jax.devices()[0].platform == 'cpu'
STEPS = 900  # quick: 2
settings = config.load('configs/biggan.py:digits')
overrides = [
  f'--config.steps={STEPS}',
  f'--config.log_every={max(STEPS // 4, 1)}',
  f'--config.sample_every={STEPS}',
  f'--config.checkpoint_every={STEPS}',
  # For a short run: the running average begins at once, and learning rates are four times as large.
  "--config.ema={'generator': 0.99}",
  '--config.optimizers.generator.links[1].learning_rate=8e-4',
  '--config.optimizers.discriminator.learning_rate=8e-4',
]
if ON_CPU:
  # Half the width, and convolutions in the form that compiles fastest.
  overrides += ['--config.game.generator.channels=(32, 32)', '--config.game.discriminator.channels=(32, 32)']
  overrides += ['--config.formulation=plain']
settings = config.override(settings, overrides)
state = loop.run(settings, 'runs/biggan')

# %% [markdown]
# A row for each class; in a column only the class changes, the other latents stay the same. The config's 4000 steps
# at full width make them sharper (`docs/results.md`).

# %%
from gan_jax.sampling import exploration, pictures

run = gan_jax.load('runs/biggan')
exploration.classes(run, 14)

# %% [markdown]
# Truncation draws the latents anew until they lie near 0: less variety, better pictures. The first two rows are
# without it, the next two with it. Batch norm's running means and variances belong to latents without truncation; for
# the last two rows **standing statistics** take their place, of batches of truncated samples. In these small pictures
# the difference is small.

# %%
import numpy as np

rows = [run.sample(28, seed=2, truncation=t, standing=n) for t, n in ((0.0, 0), (0.5, 0), (0.5, 8))]
pictures.grid(np.concatenate(rows), run.range, columns=14, least_side=700)

# %% [markdown]
# ## The big ones
#
# `configs/biggan.py` has BigGAN and BigGAN-deep for 64 to 512 pixels as in the paper. Nothing is compiled or
# allocated here: shapes tell the parameters.

# %%
from gan_jax import runs

VARIANTS = ('cifar10', 'imagenet128', 'imagenet128_deep')  # quick: ('cifar10',)
for variant in VARIANTS:
  full = config.load(f'configs/biggan.py:{variant}')
  stages = runs.stages_of(full)
  state = runs.abstract_state(stages, 0, jax.random.key(0))
  count = {name: sum(x.size for x in jax.tree.leaves(player.params)) / 1e6 for name, player in state.players.items()}
  moves = ', '.join(f'{turn.repeat} x {"+".join(turn.movers)}' for turn in stages[0].game.turns)
  numbers = ', '.join(f'{name} {value:.1f} million' for name, value in sorted(count.items()))
  print(f'{variant:<17} batch {full.batch_size}, moves {moves}; parameters: {numbers}')

# %% [markdown]
# ## What changes on many chips
#
# | | one chip | a pod slice |
# |---|---|---|
# | the command | `python -m gan_jax.main --config configs/biggan.py --workdir runs/b` | the same in every process, with `--distributed` |
# | the batch | `--config.accumulate=32` makes 32 microbatches of the paper's 2048 | 2048 is divided over the chips |
# | batch norm | statistics of each microbatch | of the whole batch, exchanged (`parallel='jit'`), or each chip's own (`'pmap'`) |
# | memory | `--config.dtype=bfloat16 --config.remat=True` | and `--config.shard_state=True`: optimizers and averages divided |
# | the work folder | a disk | `gs://...`: each process writes its part of a checkpoint |
# | data | read by this process | each process reads its share; the order is that of one process |
#
# What a step computes does not depend on the number of devices: order, latents and noise are those of the global
# batch. On one machine one can look at it: the step of the small BigGAN as XLA divides it over the devices that are
# here.

# %%
from gan_jax.distributed import parallel
from gan_jax.runs.experiment import experiment_of
from gan_jax.training import summary

experiment, mesh = experiment_of(settings), parallel.make_mesh()
print(summary.cost(experiment, 0, mesh, compiled=not ON_CPU))

# %% [markdown]
# To see exchanges on any machine, simulate devices on the CPU:
#
#     JAX_NUM_CPU_DEVICES=8 python -m gan_jax.main --config configs/biggan.py:digits --dry_run --compile
#
# To start on a pod: `docs/parallel.md`, with scripts for SLURM, Cloud TPU and GKE.
