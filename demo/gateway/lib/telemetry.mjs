// Spans over OTLP/HTTP, where the OTEL_* variables say.

import { context, DiagLogLevel, diag } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { Propagator } from 'wirespan';

/**
 * Sets OpenTelemetry up and returns a function that exports what is left. Without an endpoint no spans are made, but the
 * context of the device still goes through to the services.
 */
export function startTelemetry() {
  diag.setLogger(new StderrLogger(), { logLevel: DiagLogLevel.WARN });
  const contextManager = new AsyncLocalStorageContextManager();
  const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = process.env;
  if (!OTEL_EXPORTER_OTLP_ENDPOINT && !OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) {
    process.stderr.write('gateway: OTEL_EXPORTER_OTLP_ENDPOINT is not set, so spans are not exported\n');
    context.setGlobalContextManager(contextManager.enable());
    return async () => {};
  }
  const resource = defaultResource()
    .merge(resourceFromAttributes({ 'service.name': 'gateway' }))
    .merge(detectResources({ detectors: [envDetector] }));
  // The sampler is the one that OTEL_TRACES_SAMPLER names.
  const provider = new NodeTracerProvider({
    resource,
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  provider.register({ contextManager, propagator: new Propagator() });
  return () => provider.shutdown();
}

/** One line on stderr for each problem of the telemetry or of a handler. */
class StderrLogger {
  error(...parts) {
    process.stderr.write(`gateway: ${parts.map(describe).join(': ')}\n`);
  }

  warn(...parts) {
    this.error(...parts);
  }

  info() {}
  debug() {}
  verbose() {}
}

function describe(part) {
  return part instanceof Error ? `${part.name}: ${part.message}` : String(part);
}
