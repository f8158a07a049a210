"""How strongly each generator loss pulls while a discriminator learns against a frozen generator: a plot.

    python -m benchmarks.gradients --out docs/images/gradients.png

Arjovsky and Bottou's experiment (https://arxiv.org/abs/1701.04862, figure 2) on the built-in digits: the generator of
configs/quickstart.py stays as it was initialised, its discriminator takes Adam steps on `nonsaturating` (the
Wasserstein critic on its own loss with WGAN-GP), and the norm of each loss's gradient by the generator's parameters is
noted. It needs matplotlib: pip install '.[docs]'.
"""

import argparse

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
import optax

from gan_jax import losses
from gan_jax.data.streams import Stream
from gan_jax.nets import dcgan

STEPS, BATCH = 400, 64


def norms_along(name: str) -> np.ndarray:
  """(STEPS,) gradient norms of one generator loss."""
  pair = getattr(losses, name)
  generator = dcgan.Generator((128, 64), 1, kernel=4, base=2)
  discriminator = dcgan.Discriminator((64, 128), kernel=4)
  source = Stream(name='digits', size=8, channels=1).open()
  data = jnp.asarray(np.stack([source[i]['image'] for i in range(len(source))]) / 127.5 - 1, jnp.float32)
  key = jax.random.key(0)
  g = generator.init(key, jnp.zeros((BATCH, 64)), train=True)
  d = discriminator.init(key, data[:BATCH], train=True)
  make = lambda g, z: generator.apply(g, z, train=True, mutable=['batch_stats'])[0]
  judge = lambda params, x: discriminator.apply({**d, 'params': params}, x, train=True, mutable=['batch_stats'])[0]
  tx = optax.adam(5e-4, b1=0.5)

  def critic_loss(params, real, fake, key):
    if name == 'wasserstein':
      penalty = losses.penalties.wgan_gp(lambda x: judge(params, x), key, real, fake)
      return pair.discriminator(judge(params, real), judge(params, fake)) + 10 * penalty
    return losses.nonsaturating.discriminator(judge(params, real), judge(params, fake))

  @jax.jit
  def step(params, state, key):
    keys = jax.random.split(key, 3)
    real = data[jax.random.randint(keys[0], (BATCH,), 0, len(data))]
    z = jax.random.normal(keys[1], (BATCH, 64))
    pulled = lambda p: pair.generator(judge(params, make({**g, 'params': p}, z)), judge(params, real))
    norm = optax.global_norm(jax.grad(pulled)(g['params']))
    gradients = jax.grad(critic_loss)(params, real, make(g, z), keys[2])
    updates, state = tx.update(gradients, state)
    return optax.apply_updates(params, updates), state, norm

  params, state, out = d['params'], tx.init(d['params']), []
  for n in range(STEPS):
    params, state, norm = step(params, state, jax.random.fold_in(key, n))
    out.append(float(norm))
  return np.array(out)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--out', default='gradients.png')
  values = parser.parse_args()
  names = [name for name in losses.__all__ if isinstance(getattr(losses, name), losses.AdversarialLoss)]
  figure, axes = plt.subplots(figsize=(8, 5))
  for i, name in enumerate(name for name in names if name != 'two_way_softmax'):
    norms = norms_along(name)
    smooth = np.exp(np.convolve(np.log(norms + 1e-12), np.ones(10) / 10, 'valid'))
    axes.semilogy(smooth, label=name, linestyle='-' if i < 6 else '--')
    print(f'{name:<36} step 1: {norms[:10].mean():.3g}  step {STEPS}: {norms[-10:].mean():.3g}', flush=True)
  axes.set_xlabel("discriminator's steps against the frozen generator")
  axes.set_ylabel("norm of the generator's gradient")
  axes.legend(fontsize=8, ncol=2)
  figure.tight_layout()
  figure.savefig(values.out, dpi=110)


if __name__ == '__main__':
  main()
