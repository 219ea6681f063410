# docker build -t speech-codec-bench .                                            CPU
# docker build -t speech-codec-bench --build-arg TORCH=https://download.pytorch.org/whl/cu128 .   CUDA: docker run --gpus all ...
# docker run --rm -v "$PWD":/work speech-codec-bench run --codec opus@6 --data folder:/work/speech
FROM python:3.11-slim

ARG TORCH=https://download.pytorch.org/whl/cpu
ARG EXTRAS=default

# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ git && rm -rf /var/lib/apt/lists/*
COPY tools/constraints.txt /opt/bench/constraints.txt
RUN pip install --no-cache-dir --extra-index-url "$TORCH" -c /opt/bench/constraints.txt torch
COPY . /opt/bench/source
RUN pip install --no-cache-dir --extra-index-url "$TORCH" -c /opt/bench/constraints.txt "/opt/bench/source[$EXTRAS]" && rm -rf /opt/bench/source

ENV BENCH_CACHE=/work/.cache
WORKDIR /work
ENTRYPOINT ["bench"]
CMD ["--help"]
