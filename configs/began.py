"""BEGAN: an auto-encoding discriminator, its errors on data and fakes held at the ratio gamma.

Paper: Berthelot et al. 2017, https://arxiv.org/abs/1703.10717.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/began.py:mnist --workdir runs/began

  celeb_a   64x64 faces, 128 filters, batch 16; the default. Unmeasured. With 16 filters and 9,000 faces of 32x32, after
            26 minutes of a core (docs/results.md): smooth, varied faces at gamma 0.7, one face at 0.3.
  mnist     32x32, 16 filters, gamma 1, pixels in [-1, 1]. 8 minutes on 2 shared cores, seed 0: the measure falls from
            0.45 (step 100) to 0.11, but five samples of six are ones.
  digits    8x8, 16 filters, gamma 0.7, scikit-learn's digits: needs no download. In a population of 8:
            the measure falls from 1.12 (step 100) to 0.20; 6 of 10 classes have 1 % of the samples.

The learning rate is halved every 100,000 steps down to 2e-5.

differs: the paper trains on 360,000 faces of its own, and lowers the learning rate when the measure stalls. Its
  optional skip connections and vanishing residuals are left out. It names no first weights: ours have a variance of 1 /
  inputs; carpedm20/BEGAN-tensorflow, which is not the authors', has Xavier's, twice as many steps, and of CelebA the
  128 pixels from row 50 and column 25 on, of which it takes every second; here the middle 178, made small with every
  pixel (--config.data.crop=128 takes rows 45 to 172). Its two losses are of the same latents. Its encoder
  becomes wider behind its convolutions of stride 2, as here; that of a code of the first author's in them.
differs: in `mnist` and `digits` learning rate, gamma and the gain of the balance are higher, and codes narrower: with a
  code of 32 and gamma 0.5 digits are reconstructed so well that the balance stays at 0, and nothing judges.
"""

from gan_jax import config as config_lib

VARIANTS = ('celeb_a', 'mnist', 'digits')

DATA = {
  'celeb_a': dict(name='celeb_a', size=64, channels=3),
  'mnist': dict(name='mnist', size=32, channels=1),
  'digits': dict(name='digits', size=8, channels=1),
}
#: (filters n, resolutions, lowest resolution, code and latents)
NETWORKS = {'celeb_a': (128, 4, 8, 64), 'mnist': (16, 3, 8, 16), 'digits': (16, 2, 4, 8)}
#: (learning rate, gamma, lambda)
RATES = {'celeb_a': (8e-5, 0.5, 0.001), 'mnist': (5e-4, 1.0, 0.1), 'digits': (2e-4, 0.7, 0.1)}
STEPS = {'celeb_a': 250_000, 'mnist': 2_500, 'digits': 3_000}


def get_config(variant):
  filters, resolutions, base, code = NETWORKS[variant]
  data = config_lib.stream(**DATA[variant])
  decoder = dict(
    name='autoencoder.Decoder', channels=(filters,) * resolutions, base=base, image_channels=data['channels']
  )
  encoder = dict(name='autoencoder.Encoder', channels=tuple(filters * (i + 1) for i in range(resolutions)), code=code)
  rate, gamma, gain = RATES[variant]
  falling = dict(
    name='optax.exponential_decay',
    init_value=rate,
    transition_steps=100_000,
    decay_rate=0.5,
    staircase=True,
    end_value=2e-5,
  )
  adam = dict(name='optax.adam', learning_rate=falling)
  steps = STEPS[variant]
  return config_lib.base(
    game=dict(
      name='began.BEGAN',
      gamma=gamma,
      gain=gain,
      latents=dict(name='Uniform', shape=(code,), low=-1.0, high=1.0),
      generator=decoder,
      discriminator=dict(name='autoencoder.AutoEncoder', encoder=encoder, decoder=decoder),
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=data,
    batch_size=16,
    steps=steps,
    log_every=100,
    sample_every=max(1_000, steps // 50),
    checkpoint_every=max(1_000, steps // 50),
  )
