# syntax=docker/dockerfile:1
# Two images of ganverse:
#   docker build --target cpu  -t ganverse:cpu  .      the tested versions (constraints.txt), no GPU
#   docker build --target cuda -t ganverse:cuda .      NVIDIA GPU, with kaolin as the third renderer
#   docker run --rm -v "$PWD/runs:/home/ganverse/runs" ganverse:cpu                     python train.py
#   docker run --rm --gpus all -v "$PWD/runs:/home/ganverse/runs" ganverse:cuda ganverse doctor
# runs/ on the host must be writable for user 1000; several GPUs need --ipc=host (NCCL talks through shared memory). `make
# lint` runs hadolint over this file, and tests/test_dockerfile.py checks what it refers to. Not built in this project's CI, which has no docker engine.

FROM python:3.12-slim AS cpu
ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ganverse ganverse
COPY configs configs
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt ".[apps]"
RUN useradd --create-home --uid 1000 ganverse && install -d -o ganverse -g ganverse /home/ganverse/runs
WORKDIR /home/ganverse
COPY --chown=ganverse:ganverse train.py evaluate.py ./
COPY --chown=ganverse:ganverse configs configs
USER 1000
HEALTHCHECK --interval=60s --timeout=20s --retries=2 CMD ["python", "-c", "import ganverse"]
CMD ["python", "train.py"]


# kaolin's newest wheels are built for torch 2.8 with CUDA 12.6, 12.8 or 12.9 and Python <= 3.12, older than the torch that
# pyproject.toml asks for and that everything else is tested with. So this image fixes that pair first and installs
# ganverse without its dependency check; it exists to run and to compare the kaolin backend.
# warp-lang 1.19 needs a driver for CUDA 13 to use the GPU.
FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04 AS cuda
ENV DEBIAN_FRONTEND=noninteractive PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
# Not pinned, since Ubuntu's archive keeps one version of a package only: a pinned one soon cannot be installed.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/venv
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install torch==2.8.0 torchvision==0.23.0 --index-url https://download.pytorch.org/whl/cu128
RUN --mount=type=cache,target=/root/.cache/pip \
    printf 'torch==2.8.0\ntorchvision==0.23.0\n' > /opt/pair.txt \
 && pip install -c /opt/pair.txt kaolin==0.18.0 \
      -f https://nvidia-kaolin.s3.us-east-2.amazonaws.com/torch-2.8.0_cu128.html
WORKDIR /src
COPY constraints.txt docker/kaolin-requirements.txt ./
# constraints.txt without torch and the CUDA libraries it brings: the pair above stands in for them
RUN --mount=type=cache,target=/root/.cache/pip \
    grep -vE '^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+|sympy|setuptools)==' constraints.txt > rest.txt \
 && pip install -c /opt/pair.txt -c rest.txt -r kaolin-requirements.txt starlette uvicorn
COPY pyproject.toml README.md LICENSE ./
COPY ganverse ganverse
COPY configs configs
RUN --mount=type=cache,target=/root/.cache/pip pip install --no-deps .
# Ubuntu 24.04 already has a user 1000, called ubuntu.
RUN userdel --remove ubuntu && useradd --create-home --uid 1000 ganverse \
 && install -d -o ganverse -g ganverse /home/ganverse/runs
WORKDIR /home/ganverse
COPY --chown=ganverse:ganverse train.py evaluate.py ./
COPY --chown=ganverse:ganverse configs configs
USER 1000
HEALTHCHECK --interval=60s --timeout=20s --retries=2 CMD ["python", "-c", "import ganverse"]
CMD ["python", "train.py"]
