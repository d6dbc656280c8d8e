{{- define "homeport.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "homeport.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- /* What a selector selects by: it cannot change in an upgrade. Of (dict "root" $ "component" "server"). */ -}}
{{- define "homeport.selector" -}}
app.kubernetes.io/name: {{ include "homeport.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "homeport.labels" -}}
{{ include "homeport.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "homeport.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "homeport.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "homeport.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "homeport.hasSecret" -}}
{{- if or .Values.existingSecret .Values.secretSettings -}}true{{- end -}}
{{- end -}}

{{- define "homeport.secret" -}}
{{- default (include "homeport.fullname" .) .Values.existingSecret -}}
{{- end -}}

{{- /* JSON texts are TOML's too. */ -}}
{{- define "homeport.toml" -}}
{{- range $key, $value := .Values.secretSettings }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end -}}

{{- /* A value as a variable has it: lists with commas, tables as JSON, and whole numbers without an exponent. */ -}}
{{- define "homeport.variable" -}}
{{- if kindIs "slice" . -}}{{ join "," . }}
{{- else if kindIs "map" . -}}{{ toJson . }}
{{- else if kindIs "float64" . -}}{{ int64 . }}
{{- else -}}{{ . }}
{{- end -}}
{{- end -}}

{{- define "homeport.env" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if and .Values.ingress.enabled (not $settings.public_url) -}}
{{- $scheme := ternary "https" "http" (ne .Values.ingress.tlsSecret "") -}}
{{- $_ := set $settings "public_url" (printf "%s://%s" $scheme (first .Values.ingress.hosts)) -}}
{{- end -}}
{{- range $key, $value := $settings }}
- name: HOMEPORT_{{ upper $key }}
  value: {{ include "homeport.variable" $value | quote }}
{{- end }}
{{- if include "homeport.hasSecret" . }}
- name: HOMEPORT_CONFIG
  value: /etc/homeport/homeport.toml
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Seconds from SIGTERM to SIGKILL: the way out of the service, running transfers, and some to spare. */ -}}
{{- define "homeport.grace" -}}
{{- add .Values.preStopSeconds (default 0 .Values.settings.drain_delay) (default 30 .Values.settings.drain_timeout) 15 -}}
{{- end -}}

{{- /* What every pod has. Of (dict "root" $ "component" "server" "account" "name"). */ -}}
{{- define "homeport.podSpec" -}}
{{- $root := .root -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
# Kubernetes would set HOMEPORT_PORT for a service of the name homeport, to something that is no port.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.spreadOver }}
topologySpreadConstraints:
  {{- range . }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "homeport.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* What every container has. */ -}}
{{- define "homeport.container" -}}
image: {{ include "homeport.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: data
    mountPath: /data
  - name: tmp
    mountPath: /tmp
  {{- if include "homeport.hasSecret" . }}
  - name: secret
    mountPath: /etc/homeport
    readOnly: true
  {{- end }}
{{- end -}}

{{- /* Of (dict "root" $ "secret" "name"). */ -}}
{{- define "homeport.volumes" -}}
- name: data
  {{- if .root.Values.cluster.enabled }}
  emptyDir:
    sizeLimit: {{ .root.Values.scratch.sizeLimit }}
  {{- else }}
  persistentVolumeClaim:
    claimName: {{ default (include "homeport.fullname" .root) .root.Values.persistence.existingClaim }}
  {{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
{{- if include "homeport.hasSecret" .root }}
- name: secret
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      - key: homeport.toml
        path: homeport.toml
{{- end }}
{{- end -}}

{{- define "homeport.servers" -}}
{{- if not .Values.cluster.enabled -}}1
{{- else if .Values.autoscaling.enabled -}}{{ .Values.autoscaling.minReplicas }}
{{- else -}}{{ .Values.cluster.servers }}
{{- end -}}
{{- end -}}

{{- /* What cannot work is refused before it is installed. */ -}}
{{- define "homeport.check" -}}
{{- $secret := .Values.secretSettings -}}
{{- if and .Values.existingSecret $secret -}}
{{- fail "existingSecret and secretSettings exclude each other" -}}
{{- end -}}
{{- if and .Values.cluster.enabled (not .Values.existingSecret) -}}
{{- if not $secret.database_url -}}{{- fail "cluster.enabled needs secretSettings.database_url, or existingSecret" -}}{{- end -}}
{{- if not .Values.settings.blob_url -}}{{- fail "cluster.enabled needs settings.blob_url" -}}{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not .Values.cluster.enabled) -}}
{{- fail "autoscaling.enabled needs cluster.enabled: SQLite and a folder are one pod's" -}}
{{- end -}}
{{- if and .Values.monitors.enabled (not .Values.settings.metrics_networks) -}}
{{- fail "monitors.enabled needs settings.metrics_networks: nobody else may read metrics" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}{{- fail "ingress.enabled needs ingress.hosts" -}}{{- end -}}
{{- end -}}
