"""BigGAN: residual networks with spectral norm, a shared class embedding and latents in every norm, large batches.

Paper: Brock et al. 2018, https://arxiv.org/abs/1809.11096, appendices B and C.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/biggan.py --workdir runs/biggan

  imagenet128       ch 96, batch 2048, the paper's main model; the default. Unmeasured.
  imagenet64        the same at 64 pixels. Unmeasured.
  imagenet256       the same at 256 pixels. Unmeasured.
  imagenet512       the same at 512 pixels. Unmeasured.
  imagenet128_deep  BigGAN-deep, ch 128. Unmeasured.
  imagenet256_deep  the same at 256 pixels. Unmeasured.
  imagenet512_deep  the same at 512 pixels. Unmeasured.
  imagenet128_256x8 the first author's public recipe: 8 microbatches of 256, one discriminator move, both rates
                    doubled. Unmeasured.
  cifar10           StudioGAN's recipe for 32 pixels (its FID: 4.16). Unmeasured but for a narrow, short run:
                    docs/results.md.
  digits            8x8, scikit-learn's digits: needs no download. 26 minutes on 2 shared cores, seed 0: class asked
                    for in 99.4 % of 5,000 samples, Fréchet distance 6.3.

The paper's table 1 as settings: --config.batch_size, the widths in --config.game.generator.channels and
--config.game.discriminator.channels, --config.game.generator.hierarchical=False (no latents in the blocks), with
--config.game.generator.embedding=0 too (no shared embedding), --config.optimizers.generator.links[0].weight=0.0 (no
orthogonal regularisation, which embedding=0 needs: it would pull at the tables of gains).

Pictures are not mirrored, as in the first author's code; StudioGAN's are, and its Adam has an epsilon of 1e-6.

differs: the running average starts at step 20,000, as in the first author's code; the paper names no start.
differs: weights of attention and of the maps to gains and biases begin at a variance of 1 / fan-in, not orthogonal.
differs: batch norm adds 1e-5 to the variance, as in the first author's code; the published networks and StudioGAN 1e-4.
differs: spectral norm guards its divisions by 1e-12; the first author's script by 1e-6, StudioGAN's by 1e-6,
  the published networks by 1e-4.
differs: pictures of ImageNet are reduced by a bilinear filter, as in the first author's code; the paper's by areas
  (--config.data.filter=box).
differs: biases begin at 0, as StudioGAN's; the first author's code leaves PyTorch's, uniform within 1 / sqrt(inputs).
  The orthogonal penalty is equation 3; the gradient in that code is half of it.
differs: `imagenet128_256x8` has the batch statistics of 256 examples, the script those of 32 on each of 8 GPUs; its
  epsilon of 1e-6 stands behind Adam's bias correction, in the PyTorch of that time before it.
differs: the discriminator judges real and generated examples in two passes, as StudioGAN's, with a power
  iteration in each.
differs: running statistics and spectral norms of a player follow its own moves, the first author's every pass,
  evaluations too.
differs: figures are of running statistics, as the first author's; the paper's of standing ones (--standing=16 in
  `gan_jax.evaluate`). They are of the last step; the paper's of the best before a collapse, the first author's of the
  best inception score, StudioGAN's of the best Fréchet distance (--config.eval.every=2000
  --config.keep_best=eval_fid).
"""

from gan_jax import config as config_lib
from gan_jax.nets.biggan import WIDTHS, channels_of

VARIANTS = (
  'imagenet128', 'imagenet64', 'imagenet256', 'imagenet512', 'imagenet128_deep', 'imagenet256_deep', 'imagenet512_deep',
  'imagenet128_256x8', 'cifar10', 'digits',
)  # fmt: skip


def get_config(variant):
  if variant in ('cifar10', 'digits'):
    return _small(variant)
  name, _, kind = variant.partition('_')
  size, deep, script = int(name.removeprefix('imagenet')), kind == 'deep', kind == '256x8'
  multiples, ch = WIDTHS[size], 128 if deep else 96
  channels = channels_of(multiples.generator, ch)
  # Appendix C: BigGAN-deep has these rates at 128 pixels alone.
  rates = (1e-4, 4e-4) if script else (2.5e-5, 2.5e-5) if deep and size > 128 else (5e-5, 2e-4)
  generator = dict(
    channels=channels, classes=1000, image_channels=3, attention=(128 if size == 256 and not deep else 64,)
  )
  discriminator = dict(
    channels=channels_of(multiples.discriminator, ch), halvings=multiples.halvings, classes=1000, attention=(64,)
  )
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='hinge',
      discriminator_steps=1 if script else 2,
      latents=_latents(128 if deep else 20 * len(channels), 1000),
      generator=dict(name='biggan.DeepGenerator' if deep else 'biggan.Generator', **generator),
      discriminator=dict(name='biggan.DeepDiscriminator', **discriminator)
      if deep
      else dict(name='sngan.Discriminator', wide=True, **discriminator),
    ),
    optimizers=dict(
      generator=_adam(rates[0], orthogonal=0.0 if script else 1e-4, eps=1e-6 if script else 1e-8),
      discriminator=_adam(rates[1], eps=1e-6 if script else 1e-8),
    ),
    ema=dict(generator=dict(name='averages.starting_at', decay=0.9999, step=20_000)),
    data=config_lib.stream(name='imagenet2012', size=size, channels=3, classes=1000),
    batch_size=2048,
    accumulate=8 if script else 1,
    steps=150_000,
    log_every=50,
    sample_every=1000,
    checkpoint_every=1000,
  )


def _small(variant):
  digits = variant == 'digits'
  size, channels = (8, (64, 64)) if digits else (32, channels_of(WIDTHS[32].generator, 96))
  judged = (64, 64) if digits else channels_of((2, 2, 2, 2), 96)
  attention, eps = (4,) if digits else (16,), 1e-8 if digits else 1e-6
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='hinge',
      discriminator_steps=2 if digits else 5,
      latents=_latents(20 * len(channels), 10),
      generator=dict(
        name='biggan.Generator',
        channels=channels,
        classes=10,
        attention=(8,) if digits else attention,
        embedding=128,
        image_channels=1 if digits else 3,
      ),
      discriminator=dict(
        name='sngan.Discriminator',
        wide=True,
        channels=judged,
        halvings=1 if digits else 2,
        classes=10,
        attention=attention,
      ),
    ),
    optimizers=dict(
      generator=_adam(2e-4, b1=0.0 if digits else 0.5, eps=eps, orthogonal=1e-4 if digits else 0.0),
      discriminator=_adam(2e-4, b1=0.0 if digits else 0.5, eps=eps),
    ),
    ema=dict(generator=dict(name='averages.starting_at', decay=0.999 if digits else 0.9999, step=1000)),
    data=config_lib.stream(
      name=variant, size=size, channels=1 if digits else 3, classes=10, flip=not digits, split='train'
    ),
    batch_size=64,
    steps=4_000 if digits else 100_000,
    log_every=50,
    sample_every=1000,
    checkpoint_every=1000,
  )


def _latents(count, classes):
  return dict(z=dict(name='Normal', shape=(count,)), label=dict(name='Label', classes=classes))


def _adam(learning_rate, *, b1=0.0, eps=1e-8, orthogonal=0.0):
  adam = dict(name='optax.adam', learning_rate=learning_rate, b1=b1, b2=0.999, eps=eps)
  if not orthogonal:
    return adam
  # The embedding is left alone, as in the first author's code.
  return dict(name='chain', links=(dict(name='orthogonal', weight=orthogonal, skip=('shared',)), adam))
