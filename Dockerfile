# The label app's server; docs/deploy.md has the commands that build and run it.
FROM python:3.11-slim

# For the alignment's operator; without a compiler torchvision's serves.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/lsinet_monai
COPY . .
# A model that was trained on patients may lie where the shipped one belongs; then there is no image.
RUN python -c 'from lsinet_monai.utils.shipped_model import is_shipped_model as it; assert it("bundle/models/model.pt")'
# SAM 2 comes with MONAI Label; the app has no use for it, nor for its CUDA kernels.
ENV SAM2_BUILD_CUDA=0
RUN pip install --no-cache-dir --editable ".[label]" \
    && python setup.py --quiet build_ext --inplace

# Any user will do, so that `docker run --user` can name the one whose videos are served: all that is written outside of
# /videos goes into folders that anybody may write to, and MONAI finds a name for a user that the image does not know.
RUN useradd --no-create-home lsinet \
    && install --directory --mode=1777 apps/lsinet_label/bin apps/lsinet_label/logs apps/lsinet_label/model
ENV HOME=/tmp USER=lsinet
USER lsinet

EXPOSE 8000
ENTRYPOINT ["monailabel", "start_server", "--app", "apps/lsinet_label", "--studies", "/videos"]
CMD ["--host", "127.0.0.1"]
