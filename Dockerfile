# Fits a line to the diabetes data, or runs any other command:
#   docker build -t descentlab . && docker run --rm descentlab
#   docker run --rm -v "$PWD:/work" descentlab fit --config toy/wavy.yaml
FROM python:3.11-slim
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir -c constraints.txt .
WORKDIR /work
ENTRYPOINT ["descentlab"]
CMD ["fit", "--config", "linear_regression/split.yaml", "--test_after_fit", "true"]
