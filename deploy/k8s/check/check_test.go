package check

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kinds are what the manifests may hold, and Go's type for each.
var kinds = map[string]func() any{
	"v1/Namespace":                           func() any { return new(corev1.Namespace) },
	"v1/Service":                             func() any { return new(corev1.Service) },
	"v1/ConfigMap":                           func() any { return new(corev1.ConfigMap) },
	"v1/Secret":                              func() any { return new(corev1.Secret) },
	"apps/v1/Deployment":                     func() any { return new(appsv1.Deployment) },
	"apps/v1/StatefulSet":                    func() any { return new(appsv1.StatefulSet) },
	"policy/v1/PodDisruptionBudget":          func() any { return new(policyv1.PodDisruptionBudget) },
	"autoscaling/v2/HorizontalPodAutoscaler": func() any { return new(autoscalingv2.HorizontalPodAutoscaler) },
	"networking.k8s.io/v1/NetworkPolicy":     func() any { return new(networkingv1.NetworkPolicy) },
}

type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

// decode takes a stream of documents apart, strictly: an unknown field, a wrong
// type or a repeated key is an error.
func decode(t *testing.T, from string, stream []byte) (all []any) {
	t.Helper()
	for doc := range bytes.SplitSeq(stream, []byte("\n---\n")) {
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		var o object
		if err := yaml.Unmarshal(doc, &o); err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		make, ok := kinds[o.APIVersion+"/"+o.Kind]
		if !ok {
			t.Errorf("%s: %s %s is a kind that this test does not know", from, o.APIVersion, o.Kind)
			continue
		}
		value := make()
		if err := yaml.UnmarshalStrict(doc, value); err != nil {
			t.Errorf("%s: %s %s: %v", from, o.Kind, o.Metadata.Name, err)
		}
		if o.Kind != "Namespace" && o.Metadata.Namespace != "api-proxy" {
			t.Errorf("%s: %s %s is in namespace %q", from, o.Kind, o.Metadata.Name, o.Metadata.Namespace)
		}
		all = append(all, value)
	}
	return all
}

// build is `kubectl kustomize`.
func build(t *testing.T, folder string) []any {
	t.Helper()
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatalf("%s: %v", folder, err)
	}
	text, err := m.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, folder, text)
}

func TestOverlays(t *testing.T) {
	overlays, err := filepath.Glob("../overlays/*")
	if err != nil || len(overlays) < 3 {
		t.Fatalf("%v, %v", overlays, err)
	}
	for _, folder := range append(overlays, "../base") {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			all := build(t, folder)
			selectors(t, all)
			references(t, all)
			for _, o := range all {
				switch o := o.(type) {
				case *appsv1.Deployment:
					pod(t, o.Name, &o.Spec.Template)
				case *appsv1.StatefulSet:
					pod(t, o.Name, &o.Spec.Template)
				}
			}
		})
	}
}

// A wrong manifest is found: the tests above would notice.
func TestStrict(t *testing.T) {
	for _, wrong := range []string{"replicas: three", "replica: 3"} {
		if err := yaml.UnmarshalStrict([]byte("apiVersion: apps/v1\nkind: Deployment\nspec: {"+wrong+"}\n"), new(appsv1.Deployment)); err == nil {
			t.Errorf("%s was taken", wrong)
		}
	}
}

func TestSecretExample(t *testing.T) {
	text, err := os.ReadFile("../secrets.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if all := decode(t, "secrets.example.yaml", text); len(all) != 2 {
		t.Errorf("%d secrets, want 2", len(all))
	}
}

// The configurations are those of compose, comments aside.
func TestConfigs(t *testing.T) {
	for _, pair := range [][2]string{{"../base/config.yaml", "../../config/config.yaml"}, {"../overlays/demo/config.yaml", "../../config/demo.yaml"}} {
		var texts [2]any
		for i, name := range pair {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal(text, &texts[i]); err != nil {
				t.Fatal(err)
			}
		}
		if fmt.Sprint(texts[0]) != fmt.Sprint(texts[1]) {
			t.Errorf("%s and %s differ", pair[0], pair[1])
		}
	}
}

// pod checks what each pod must have: rights, probes, and time to drain.
func pod(t *testing.T, name string, p *corev1.PodTemplateSpec) {
	t.Helper()
	s := p.Spec.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil {
		t.Errorf("%s may run as root, or without seccomp", name)
	}
	if p.Spec.AutomountServiceAccountToken == nil || *p.Spec.AutomountServiceAccountToken {
		t.Errorf("%s is given a token of the cluster", name)
	}
	for _, c := range p.Spec.Containers {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
			s.Capabilities == nil || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" {
			t.Errorf("%s/%s has rights that it does not need", name, c.Name)
		}
		if c.ReadinessProbe == nil || c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s/%s has no readiness probe or no resources", name, c.Name)
		}
		if name == "api-proxy" {
			node(t, p, &c)
		}
	}
}

func node(t *testing.T, p *corev1.PodTemplateSpec, c *corev1.Container) {
	t.Helper()
	if c.LivenessProbe.HTTPGet.Path != "/health" || c.ReadinessProbe.HTTPGet.Path != "/ready" {
		t.Error("a node is asked for its health and readiness elsewhere")
	}
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil {
		t.Fatal("a node has no preStop")
	}
	needs := c.Lifecycle.PreStop.Sleep.Seconds
	for _, e := range c.Env {
		var seconds int64
		if n, _ := fmt.Sscanf(e.Value, "%ds", &seconds); n == 1 && strings.HasPrefix(e.Name, "APIPROXY_DRAIN_") {
			needs += seconds
		}
	}
	if grace := *p.Spec.TerminationGracePeriodSeconds; grace <= needs || needs < 30 {
		t.Errorf("the grace period is %d s; preStop and drain take %d s", grace, needs)
	}
	if p.Annotations["prometheus.io/scrape"] != "true" || p.Annotations["prometheus.io/port"] != "8080" || p.Annotations["prometheus.io/path"] != "/metrics" {
		t.Errorf("Prometheus does not find a node: %v", p.Annotations)
	}
}

// selectors: whatever selects pods finds some.
func selectors(t *testing.T, all []any) {
	t.Helper()
	pods := map[string]bool{}
	for _, o := range all {
		switch o := o.(type) {
		case *appsv1.Deployment:
			pods[o.Spec.Template.Labels["app"]] = o.Spec.Selector.MatchLabels["app"] == o.Spec.Template.Labels["app"]
		case *appsv1.StatefulSet:
			pods[o.Spec.Template.Labels["app"]] = o.Spec.Selector.MatchLabels["app"] == o.Spec.Template.Labels["app"]
		}
	}
	check := func(what, app string) {
		if !pods[app] {
			t.Errorf("%s selects app=%s, which no pod has", what, app)
		}
	}
	for _, o := range all {
		switch o := o.(type) {
		case *corev1.Service:
			check("Service "+o.Name, o.Spec.Selector["app"])
		case *policyv1.PodDisruptionBudget:
			check("PodDisruptionBudget "+o.Name, o.Spec.Selector.MatchLabels["app"])
		case *networkingv1.NetworkPolicy:
			check("NetworkPolicy "+o.Name, o.Spec.PodSelector.MatchLabels["app"])
		case *autoscalingv2.HorizontalPodAutoscaler:
			if *o.Spec.MinReplicas != 3 || o.Spec.MaxReplicas != 10 || len(o.Spec.Metrics) != 2 ||
				*o.Spec.Metrics[0].Resource.Target.AverageUtilization != 70 || *o.Spec.Metrics[1].Resource.Target.AverageUtilization != 80 {
				t.Errorf("the autoscaler differs: %+v", o.Spec)
			}
			check("HorizontalPodAutoscaler", o.Spec.ScaleTargetRef.Name)
		}
	}
}

// references: ConfigMaps that pods mount exist; Secrets too, or an operator makes
// them.
func references(t *testing.T, all []any) {
	t.Helper()
	exist := map[string]bool{"api-keys": true, "api-proxy-secrets": true, "api-proxy-nats": true}
	for _, o := range all {
		switch o := o.(type) {
		case *corev1.ConfigMap:
			exist[o.Name] = true
		case *corev1.Secret:
			exist[o.Name] = true
		}
	}
	check := func(spec corev1.PodSpec) {
		for _, v := range spec.Volumes {
			if v.ConfigMap != nil && !exist[v.ConfigMap.Name] || v.Secret != nil && !exist[v.Secret.SecretName] {
				t.Errorf("volume %s is of something that is not there", v.Name)
			}
		}
		for _, c := range spec.Containers {
			for _, e := range c.Env {
				if e.Value != "" && e.ValueFrom != nil || e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && !exist[e.ValueFrom.SecretKeyRef.Name] {
					t.Errorf("variable %s: %+v", e.Name, e)
				}
			}
		}
	}
	for _, o := range all {
		switch o := o.(type) {
		case *appsv1.Deployment:
			check(o.Spec.Template.Spec)
		case *appsv1.StatefulSet:
			check(o.Spec.Template.Spec)
		}
	}
}
